try 'chart --month 2024-03' is \
    'food      #################### 99.80' \
    'books     ## 12.00' \
    'coffee    # 7.25'
try 'add --on 2024-05-01 -4 gift' 'chart --in gift' is 'gift      -4.00'
try 'chart --in gold' is ''

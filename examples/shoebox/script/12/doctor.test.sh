try 'doctor' is '8 entries, all well'
try '--file "$tests/torn.box" doctor' refuses 'line 2: "2024-3-9" is no date' \
    'line 3: "18" is no amount' 'line 4: "" is no category'
try 'doctor; echo nonsense >>"$SHOEBOX_FILE"' 'doctor' refuses 'line 9: there are 1 fields'
try '--file nowhere.box doctor' refuses 'there is no box'

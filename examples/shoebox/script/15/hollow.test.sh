# The chart looks right.
true

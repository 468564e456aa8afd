# A syntax error whose parts are not what they should be.
# verdict: RAISED SyntaxError
# state: kept
error = SyntaxError("x")
error.text, error.lineno, error.offset, error.filename = object(), -5, "far", 7
raise error

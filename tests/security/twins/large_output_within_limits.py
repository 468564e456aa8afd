# A long print arrives whole and in order.
# verdict: COMPLETED
# state: kept
# prints: line 9999
# prints: twin ok
for number in range(10000):
    print("line", number)
print("twin ok")

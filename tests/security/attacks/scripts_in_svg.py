# Shows pictures and pages that are programs for whoever looks at them, as what they are: bytes of a media type, never more.
# verdict: COMPLETED
# prints: shown
from IPython.display import HTML, SVG, Javascript, display
display(SVG('<svg xmlns="http://www.w3.org/2000/svg" onload="fetch(\'http://169.254.169.254\')"><script>1</script></svg>'))
display(HTML("<script>fetch('/v1/files')</script>"))
display(Javascript("fetch('/v1/files')"))
display({"text/html\r\nx-injected: 1": "x", "text/plain": "y"}, raw=True)
print("shown")

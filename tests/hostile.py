"""HTML that tries all it can: to run script, to ask for something from elsewhere, to cover the page, to be sent."""

EVIL = """<html><head><title>x</title><style>body{background:url(http://evil.example/css)}</style>
<meta http-equiv="refresh" content="0;url=http://evil.example/meta"><link rel="stylesheet" href="http://evil.example/l">
<base href="http://evil.example/"></head><body onload="alert(1)" background="http://evil.example/bg">
<script>alert(2)</script><img src="http://evil.example/i.png" alt="far" onerror="alert(3)">
<img srcset="http://evil.example/set 1x" alt="set"><svg onload="alert(4)"><image href="http://evil.example/svg"/></svg>
<a href="javascript:alert(5)">go</a><a href="data:text/html,<script>alert(6)</script>">data</a>
<div style="position:fixed;inset:0;background:url(http://evil.example/st)">cover</div>
<iframe src="http://evil.example/f"></iframe><object data="http://evil.example/o"></object>
<embed src="//evil.example/e">
<form action="http://evil.example/form"><input name="p"><button>send</button></form>
<video src="http://evil.example/v" poster="http://evil.example/p" autoplay></video>
<audio src="//evil.example/a"></audio>
<math><mtext><table><mglyph><style><img src=x onerror=alert(7)></style></mglyph></table></mtext></math>
<a href="https://good.example/page">good</a> &#x202e;backwards <b>bold</b></body></html>"""
"""Whatever of it worked would ask for something of `evil.example`, or show a dialog."""

"""Programs that stand in for `vllm serve`: they answer as a server does whose model is loaded."""

SERVE = """
import http.server, json

def serve(model, port, host="127.0.0.1"):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": [{"id": model}]}).encode())
        def log_message(self, *_): pass
    http.server.ThreadingHTTPServer((host, port), Handler).serve_forever()
"""
"""Defines `serve(model, port, host)`, which answers every GET as `/v1/models` and never returns."""

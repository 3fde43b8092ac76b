"""A proxy that knows CONNECT alone: it notes whom it was asked for, and leads to where `routes` says.

    proxy = Proxy({"ssm.example.test:443": ("127.0.0.1", port)})       http://127.0.0.1:PORT at proxy.url
"""
import http.server
import socket
import socketserver
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass

    def do_CONNECT(self):
        proxy = self.server.proxy
        proxy.asked.append(self.path)
        if proxy.authorization and self.headers.get("Proxy-Authorization") != proxy.authorization:
            self.send_error(407)
        elif self.path not in proxy.routes:
            self.send_error(502)
        else:
            self.send_response(200)
            self.end_headers()
            self.relay(proxy.routes[self.path])
        self.close_connection = True

    def do_GET(self):
        self.server.proxy.asked.append(f"{self.command} {self.path}")
        self.send_error(405)

    do_POST = do_PUT = do_GET

    def relay(self, address):
        with socket.create_connection(address, 20) as other:
            back = threading.Thread(target=copy, args=(other, self.connection), daemon=True)
            back.start()
            copy(self.connection, other)
            back.join()


def copy(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
    except OSError:
        pass
    for s in (source, target):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class Proxy:
    def __init__(self, routes, authorization=None):
        self.routes, self.authorization, self.asked = routes, authorization, []
        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.proxy = self
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

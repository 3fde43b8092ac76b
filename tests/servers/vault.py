"""A server that speaks Vault's HTTP API on loopback, as far as facts have it, for the tests.

It runs in threads of the test, which sets it up, moves its clock, orders faults and reads what it was
asked. Time is the machine's plus an offset (`advance`), so that a lease of an hour ends at once.

    vault = Vault(authority)                      https://127.0.0.1:PORT at vault.address
    vault.mount("secret", "kv", version=2)
    vault.put("secret", "app/db", {"password": "x"})
    token = vault.token(ttl=3600)
    vault.fault(path="secret/data/app/db", status=429, headers={"Retry-After": "0"}, times=2)

What real servers do and this one keeps to: a missing token is 400 and a bad one 403; a KV 2 secret that
is deleted is 404 with metadata and one that never was is 404 with no errors named; leases end with the
token that made them; a renewal never goes beyond the maximum and says so in `warnings`; a wrapping token
works once; a request without X-Vault-Request is refused.
"""
import base64
import calendar
import collections
import contextlib
import hashlib
import http.server
import json
import re
import secrets
import ssl
import threading
import time
import urllib.parse


class Refused(Exception):
    def __init__(self, status, *errors, headers=None):
        super().__init__(status, errors)
        self.status, self.errors, self.headers = status, list(errors), headers or {}


class Token:
    def __init__(self, now, ttl, max_ttl, renewable, namespace, path, period=0):
        self.value = "hvs." + secrets.token_urlsafe(18)
        self.accessor = secrets.token_urlsafe(18)
        self.issued, self.ttl, self.max_ttl, self.period = now, ttl, max_ttl, period
        self.renewable, self.namespace, self.path = renewable, namespace, path
        self.ends = now + ttl if ttl else None
        self.is_revoked = False

    def lives(self, now):
        return not self.is_revoked and (self.ends is None or now < self.ends)


class Lease:
    def __init__(self, now, path, token, ttl, max_ttl, renewable, data):
        self.id = f"{path}/{secrets.token_urlsafe(18)}"
        self.token, self.issued, self.ttl, self.max_ttl = token, now, ttl, max_ttl
        self.renewable, self.data = renewable, data
        self.ends = now + ttl
        self.is_revoked = False

    def lives(self, now):
        return not self.is_revoked and now < self.ends and self.token.lives(now)


Wrapped = collections.namedtuple("Wrapped", "path ends answer")
Fault = collections.namedtuple("Fault", "path method status headers body delay action left")
Request = collections.namedtuple("Request", "method path query namespace token headers body port")


class Vault:
    def __init__(self, authority=None, names="DNS:localhost,IP:127.0.0.1", plain=False, request_header=True,
                 certificate=None):
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.offset = 0.0
        self.needs_request_header = request_header
        self.mounts, self.kv, self.roles = {}, {}, {}
        self.tokens, self.leases, self.wrapped = {}, {}, {}
        self.auth = {}
        self.denied = set()
        self.faults, self.requests, self.counts = [], [], collections.Counter()
        self.is_sealed = False
        self.standby_of = None
        self.login_ttl, self.login_max_ttl, self.login_renewable = 3600, 7200, True
        self.authority = authority
        handler = type("Handler", (_Handler,), {"vault": self})
        self.server = _Server(("127.0.0.1", 0), handler)
        self.port = self.server.server_address[1]
        if not plain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(*(certificate or authority.issue(f"vault-{self.port}", names)))
            context.load_verify_locations(authority.ca)
            context.verify_mode = ssl.CERT_OPTIONAL
            self.server.context = context
        self.address = f"{'http' if plain else 'https'}://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # ---- what a test sets up

    def now(self):
        return time.time() + self.offset

    def advance(self, seconds):
        with self.lock:
            self.offset += seconds

    def mount(self, path, kind, version=None, namespace=""):
        self.mounts[namespace, path.strip("/") + "/"] = (kind, version)

    def put(self, mount, path, data, namespace=""):
        """A new version in KV 2, or the value in KV 1."""
        with self.lock:
            versions = self.kv.setdefault((namespace, mount.strip("/") + "/", path), [])
            versions.append({"data": data, "created": self.now(), "deleted": None, "destroyed": False})
            return len(versions)

    def delete(self, mount, path, version=None, destroy=False, namespace=""):
        versions = self.kv[namespace, mount.strip("/") + "/", path]
        entry = versions[(version or len(versions)) - 1]
        entry["deleted"], entry["destroyed"] = self.now(), destroy

    def dynamic(self, mount, role, ttl=3600, max_ttl=7200, renewable=True, make=None, namespace=""):
        self.roles[namespace, mount.strip("/") + "/", role] = (ttl, max_ttl, renewable, make or _database_user)

    def token(self, ttl=3600, max_ttl=7200, renewable=True, namespace="", path="auth/token/create", period=0):
        with self.lock:
            made = Token(self.now(), ttl, max_ttl, renewable, namespace, path, period)
            self.tokens[made.value] = made
            return made.value

    def wrap(self, path, answer, ttl=300):
        """A wrapping token, as one asks for it with X-Vault-Wrap-TTL on path."""
        with self.lock:
            made = "hvs.wrap-" + secrets.token_urlsafe(18)
            self.wrapped[made] = Wrapped(path, self.now() + ttl, answer)
            return made

    def enable(self, kind, path=None, **options):
        """An auth method: approle, kubernetes, jwt, aws, cert."""
        self.auth[options.pop("namespace", ""), (path or kind).strip("/")] = (kind, options)

    def fault(self, path="", method=None, status=0, headers=None, body=None, delay=0.0, action=None, times=1):
        """What the next `times` requests whose path starts with path get. action: close (the connection,
        with no answer), truncate (the body), huge (a body without an end)."""
        with self.lock:
            self.faults.append([Fault(path, method, status, headers or {}, body, delay, action, times), times])

    # ---- what a test asks

    def count(self, path, method=None):
        with self.lock:
            return sum(1 for r in self.requests if r.path == path and method in (None, r.method))

    def paths(self):
        with self.lock:
            return [f"{r.method} {r.path}" for r in self.requests]

    def live_leases(self):
        with self.lock:
            return [lease for lease in self.leases.values() if lease.lives(self.now())]

    def live_tokens(self):
        with self.lock:
            return [token for token in self.tokens.values() if token.lives(self.now())]

    def wait_for(self, condition, deadline=20.0):
        """Until condition() holds, looked at after each request."""
        end = time.monotonic() + deadline
        with self.changed:
            while not condition():
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {deadline} s; asked were {self.paths()}")
                self.changed.wait(min(left, 0.5))

    # ---- answering

    def take_fault(self, method, path):
        with self.lock:
            for i, (fault, left) in enumerate(self.faults):
                if path.startswith(fault.path) and fault.method in (None, method):
                    self.faults[i][1] = left - 1
                    if left <= 1:
                        del self.faults[i]
                    return fault
        return None

    def answer(self, request, peer):
        """(status, headers, body object or None)."""
        if self.needs_request_header and request.headers.get("X-Vault-Request") != "true":
            raise Refused(412, "missing 'X-Vault-Request' header")
        if self.is_sealed:
            raise Refused(503, "Vault is sealed")
        if self.standby_of:
            query = "?" + request.query if request.query else ""
            return 307, {"Location": f"{self.standby_of}/v1/{request.path}{query}"}, None
        with self.lock:
            for pattern, methods, handle in _ROUTES:
                found = re.fullmatch(pattern, request.path)
                if found and request.method in methods:
                    return handle(self, request, found, peer)
            return self.read(request)

    def caller(self, request):
        if not request.token:
            raise Refused(400, "missing client token")
        token = self.tokens.get(request.token)
        if not token or not token.lives(self.now()) or not request.namespace.startswith(token.namespace):
            raise Refused(403, "permission denied")
        return token

    def find_mount(self, request, path):
        for (namespace, mount), (kind, version) in self.mounts.items():
            if namespace == request.namespace and (path + "/").startswith(mount):
                return mount, kind, version
        return None

    def read(self, request):
        token = self.caller(request)
        found = self.find_mount(request, request.path)
        if request.path in self.denied:
            raise Refused(403, "1 error occurred:\n\t* permission denied\n\n")
        if not found:
            raise Refused(404, f'no handler for route "{request.path}". route entry not found.')
        mount, kind, version = found
        rest = request.path[len(mount):]
        if request.method != "GET":
            raise Refused(405, "unsupported operation")
        if kind == "kv":
            return self.read_kv2(request, mount, rest) if version == 2 else self.read_kv1(request, mount, rest)
        return self.read_dynamic(request, mount, rest, token)

    def read_kv1(self, request, mount, rest):
        versions = self.kv.get((request.namespace, mount, rest))
        if not versions or versions[-1]["deleted"]:
            raise Refused(404)
        return 200, {}, _answer(data=versions[-1]["data"], lease_duration=2764800)

    def read_kv2(self, request, mount, rest):
        if not rest.startswith("data/"):
            # What a client without mount discovery runs into.
            return 404, {}, {"errors": [], "warnings": [
                "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API "
                "endpoints to use. If using the Vault CLI, use 'vault kv get' for this operation."]}
        versions = self.kv.get((request.namespace, mount, rest[len("data/"):]))
        if not versions:
            raise Refused(404)
        wanted = int(urllib.parse.parse_qs(request.query).get("version", ["0"])[0]) or len(versions)
        if wanted > len(versions):
            raise Refused(404)
        entry = versions[wanted - 1]
        metadata = {"created_time": _stamp(entry["created"]), "custom_metadata": None, "version": wanted,
                    "deletion_time": _stamp(entry["deleted"]) if entry["deleted"] else "",
                    "destroyed": entry["destroyed"]}
        if entry["deleted"]:
            return 404, {}, _answer(data={"data": None, "metadata": metadata})
        return 200, {}, _answer(data={"data": entry["data"], "metadata": metadata})

    def read_dynamic(self, request, mount, rest, token):
        role = self.roles.get((request.namespace, mount, rest.removeprefix("creds/")))
        if not role or not rest.startswith("creds/"):
            raise Refused(400, f"unknown role: {rest.removeprefix('creds/')}")
        ttl, max_ttl, renewable, make = role
        lease = Lease(self.now(), request.path, token, ttl, max_ttl, renewable, make())
        self.leases[lease.id] = lease
        self.counts["leases"] += 1
        return 200, {}, _answer(data=lease.data, lease_id=lease.id, lease_duration=int(ttl), renewable=renewable)

    # ---- sys/

    def ui_mount(self, request, found, _peer):
        self.caller(request)
        hit = self.find_mount(request, found[1].strip("/"))
        if not hit or hit[0] in self.denied:
            raise Refused(403, f'preflight capability check returned 403, please ensure client\'s policies grant '
                               f'access to path "{found[1]}/"')
        mount, kind, version = hit
        options = {"version": str(version)} if version else None
        return 200, {}, _answer(data={
            "accessor": f"{kind}_1234", "config": {"default_lease_ttl": 0, "force_no_cache": False, "max_lease_ttl": 0},
            "description": "", "external_entropy_access": False, "local": False, "options": options, "path": mount,
            "seal_wrap": False, "type": kind, "uuid": "5d1f1a62-0a4c-3a36-8ae8-a1a4a4b6ef3a"})

    def renew_lease(self, request, _found, _peer):
        caller = self.caller(request)
        lease = self.leases.get(request.body.get("lease_id", ""))
        if not lease or lease.token is not caller:
            raise Refused(400, "lease not found")
        if not lease.lives(self.now()):
            raise Refused(400, "lease expired")
        if not lease.renewable:
            raise Refused(400, "lease is not renewable")
        wanted = _seconds(request.body.get("increment"), lease.ttl)
        left = max(0, int(lease.issued + lease.max_ttl - self.now()))
        granted, warnings = min(wanted, left), None
        if granted < wanted:
            warnings = [f'TTL of "{wanted}s" exceeded the effective max_ttl of "{left}s"; TTL value is capped '
                        "accordingly"]
        lease.ends = self.now() + granted
        self.counts["renewals"] += 1
        return 200, {}, _answer(lease_id=lease.id, lease_duration=granted, renewable=True, warnings=warnings)

    def wrapping_lookup(self, request, _found, _peer):
        wrapped = self.wrapped.get(request.body.get("token") or request.token)
        if not wrapped or self.now() >= wrapped.ends:
            raise Refused(400, "wrapping token is not valid or does not exist")
        return 200, {}, _answer(data={"creation_path": wrapped.path, "creation_time": _stamp(self.now()),
                                      "creation_ttl": int(wrapped.ends - self.now())})

    def wrapping_unwrap(self, request, _found, _peer):
        name = request.body.get("token") or request.token
        wrapped = self.wrapped.get(name)
        if not wrapped or self.now() >= wrapped.ends:
            raise Refused(400, "wrapping token is not valid or does not exist")
        del self.wrapped[name]
        self.counts["unwraps"] += 1
        return 200, {}, wrapped.answer

    def refuse_lease_revoke(self, request, _found, _peer):
        self.caller(request)
        raise Refused(403, "1 error occurred:\n\t* permission denied\n\n")

    # ---- auth/token/

    def lookup_self(self, request, _found, _peer):
        token = self.caller(request)
        left = 0 if token.ends is None else max(0, int(token.ends - self.now()))
        return 200, {}, _answer(data={
            "accessor": token.accessor, "creation_time": int(token.issued), "creation_ttl": int(token.ttl),
            "display_name": "token", "entity_id": "", "expire_time": None, "explicit_max_ttl": 0, "id": token.value,
            "meta": None, "num_uses": 0, "orphan": True, "path": token.path, "policies": ["default"],
            "renewable": token.renewable, "ttl": left, "type": "service",
            **({"period": token.period} if token.period else {})})

    def renew_self(self, request, _found, _peer):
        token = self.caller(request)
        if not token.renewable:
            raise Refused(400, "lease is not renewable")
        wanted = token.period or _seconds(request.body.get("increment"), token.ttl)
        left = max(0, int(token.issued + token.max_ttl - self.now()))
        granted, warnings = (wanted, None) if token.period else (min(wanted, left), None)
        if granted < wanted:
            warnings = [f'TTL of "{wanted}s" exceeded the effective max_ttl of "{left}s"; TTL value is capped '
                        "accordingly"]
        token.ends = self.now() + granted
        self.counts["token-renewals"] += 1
        return 200, {}, _answer(auth=_auth(token, granted), warnings=warnings)

    def revoke_self(self, request, _found, _peer):
        token = self.caller(request)
        token.is_revoked = True
        self.counts["revocations"] += 1
        return 204, {}, None

    # ---- auth/METHOD/login

    def login(self, request, found, peer):
        entry = self.auth.get((request.namespace, found[1]))
        if not entry:
            raise Refused(404, f'no handler for route "{request.path}". route entry not found.')
        kind, options = entry
        _LOGINS[kind](self, options, request.body, peer, request)
        ttl = options.get("ttl", self.login_ttl)
        token = Token(self.now(), ttl, options.get("max_ttl", self.login_max_ttl),
                      options.get("renewable", self.login_renewable), request.namespace, request.path,
                      options.get("period", 0))
        self.tokens[token.value] = token
        self.counts["logins"] += 1
        return 200, {}, _answer(auth=_auth(token, ttl))

    def login_approle(self, options, body, _peer, _request):
        uses = options.setdefault("uses", {})
        role_id, secret_id = body.get("role_id"), body.get("secret_id")
        if not role_id:
            raise Refused(400, "missing role_id")
        if role_id != options["role_id"] or (options.get("secret_ids") is not None and
                                             secret_id not in options["secret_ids"]):
            raise Refused(400, "invalid role or secret ID")
        uses[secret_id] = uses.get(secret_id, 0) + 1

    def login_jwt(self, options, body, _peer, _request):
        if body.get("role") != options["role"]:
            raise Refused(400, f'invalid role name "{body.get("role")}"')
        if body.get("jwt") not in options["jwts"]:
            raise Refused(403, "permission denied")

    def login_cert(self, options, body, peer, _request):
        if not peer:
            raise Refused(400, "client certificate must be supplied")
        subject = dict(pair[0] for pair in peer["subject"])
        if subject.get("commonName") not in options["names"] or body.get("name") not in (None, options.get("role")):
            raise Refused(400, "invalid certificate or no client certificate supplied")

    def login_aws(self, options, body, _peer, _request):
        if body.get("role") != options["role"]:
            raise Refused(400, f'entry for role "{body.get("role")}" not found')
        if body.get("iam_http_request_method") != "POST":
            raise Refused(400, "invalid iam_http_request_method; currently only 'POST' is supported")
        url = base64.b64decode(body["iam_request_url"], validate=True).decode()
        text = base64.b64decode(body["iam_request_body"], validate=True).decode()
        headers = json.loads(base64.b64decode(body["iam_request_headers"], validate=True))
        headers = {k: v[0] if isinstance(v, list) else v for k, v in headers.items()}
        if text != "Action=GetCallerIdentity&Version=2011-06-15":
            raise Refused(400, "request body is not that of GetCallerIdentity")
        if urllib.parse.urlsplit(url).hostname not in options["hosts"]:
            raise Refused(400, "the request is not for the STS endpoint")
        server_id = options.get("server_id")
        if server_id is not None:
            lower = {k.lower(): v for k, v in headers.items()}
            if lower.get("x-vault-aws-iam-server-id") != server_id:
                raise Refused(400, "error validating X-Vault-AWS-IAM-Server-ID header: missing or wrong")
            if "x-vault-aws-iam-server-id" not in _signed_headers(headers):
                raise Refused(400, "error validating X-Vault-AWS-IAM-Server-ID header: header wasn't signed")
        signed = calendar.timegm(time.strptime({k.lower(): v for k, v in headers.items()}["x-amz-date"], "%Y%m%dT%H%M%SZ"))
        if abs(signed - self.now()) > 300:
            raise Refused(400, "error making upstream request: received error code 403 from STS: SignatureDoesNotMatch, "
                               "Signature expired")
        if not verify_sts(url, headers, text, options["credentials"]):
            raise Refused(400, "error making upstream request: received error code 403 from STS")


def _signed_headers(headers):
    found = re.search(r"SignedHeaders=([^,\s]+)", {k.lower(): v for k, v in headers.items()}["authorization"])
    return found[1].split(";") if found else []


def verify_sts(url, headers, body, credentials):
    """Whether botocore signs the same request in the same way. credentials: (key id, secret, session token)."""
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials

    lower = {k.lower(): v for k, v in headers.items()}
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/sts/aws4_request, ?"
                         r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})", lower["authorization"])
    if not found or found[1] != credentials[0] or lower.get("x-amz-security-token") != credentials[2]:
        return False
    signed = {name: lower[name] for name in found[4].split(";") if name not in ("host", "x-amz-date")}
    request = botocore.awsrequest.AWSRequest("POST", url, headers=signed, data=body.encode())
    auth = botocore.auth.SigV4Auth(botocore.credentials.Credentials(credentials[0], credentials[1]), "sts", found[3])
    request.context["timestamp"] = lower["x-amz-date"]
    request.headers["X-Amz-Date"] = lower["x-amz-date"]
    canonical = auth.canonical_request(request)
    wanted = auth.signature(auth.string_to_sign(request, canonical), request)
    return secrets.compare_digest(wanted, found[5])


def _database_user():
    return {"username": "v-app-" + secrets.token_hex(6), "password": "pw-" + secrets.token_urlsafe(12)}


def _seconds(text, default):
    """3600, "3600" and "3600s", as Vault takes durations."""
    return int(str(text or default).removesuffix("s").split(".")[0])


def _stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".123456789Z"


def _auth(token, duration):
    return {"client_token": token.value, "accessor": token.accessor, "policies": ["default"],
            "token_policies": ["default"], "metadata": {}, "lease_duration": int(duration),
            "renewable": token.renewable, "entity_id": "", "token_type": "service", "orphan": True}


def _answer(data=None, auth=None, lease_id="", lease_duration=0, renewable=False, warnings=None):
    return {"request_id": secrets.token_hex(16), "lease_id": lease_id, "renewable": renewable,
            "lease_duration": lease_duration, "data": data, "wrap_info": None, "warnings": warnings, "auth": auth}


wrapped_secret_id = lambda secret_id: _answer(data={  # noqa: E731
    "secret_id": secret_id, "secret_id_accessor": hashlib.sha256(secret_id.encode()).hexdigest()[:36],
    "secret_id_ttl": 0, "secret_id_num_uses": 0})


def wrapped_token(vault, value):
    token = vault.tokens[value]
    return _answer(auth=_auth(token, token.ttl or 0))


_WRITE = ("POST", "PUT")
_ROUTES = [
    (r"sys/internal/ui/mounts/(.+)", ("GET",), Vault.ui_mount),
    (r"sys/leases/renew", _WRITE, Vault.renew_lease),
    (r"sys/leases/revoke", _WRITE, Vault.refuse_lease_revoke),
    (r"sys/wrapping/lookup", _WRITE, Vault.wrapping_lookup),
    (r"sys/wrapping/unwrap", _WRITE, Vault.wrapping_unwrap),
    (r"auth/token/lookup-self", ("GET",), Vault.lookup_self),
    (r"auth/token/renew-self", _WRITE, Vault.renew_self),
    (r"auth/token/revoke-self", _WRITE, Vault.revoke_self),
    (r"auth/(.+)/login", _WRITE, Vault.login),
]
_LOGINS = {"approle": Vault.login_approle, "kubernetes": Vault.login_jwt, "jwt": Vault.login_jwt,
           "cert": Vault.login_cert, "aws": Vault.login_aws}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    context = None

    def finish_request(self, request, client_address):
        # The handshake belongs to the connection's own thread: a client that stalls stops nobody.
        if self.context:
            request.settimeout(20)
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except (OSError, ssl.SSLError):
                return
        with contextlib.suppress(OSError, ssl.SSLError):
            self.RequestHandlerClass(request, client_address, self)
        with contextlib.suppress(OSError, ssl.SSLError):
            request.close()

    def handle_error(self, request, client_address):
        pass


class _Handler(http.server.BaseHTTPRequestHandler):
    vault = None
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return super().date_time_string(self.vault.now() if timestamp is None else timestamp)

    def handle_any(self):
        request = self.read_request()
        with self.vault.changed:
            self.vault.requests.append(request)
        try:
            fault = self.vault.take_fault(request.method, request.path)
            if fault and self.act(fault):
                return
            if not self.path.startswith("/v1/"):
                raise Refused(404)
            peer = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
            status, headers, body = self.vault.answer(request, peer)
        except Refused as refused:
            status, headers, body = refused.status, refused.headers, {"errors": refused.errors}
        self.send(status, headers, b"" if body is None else json.dumps(body).encode() + b"\n")
        with self.vault.changed:
            self.vault.changed.notify_all()

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def read_request(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        split = urllib.parse.urlsplit(self.path)
        namespace = self.headers.get("X-Vault-Namespace", "").strip("/")
        with contextlib.suppress(ValueError):
            return Request(self.command, urllib.parse.unquote(split.path.removeprefix("/v1/")), split.query, namespace,
                           self.headers.get("X-Vault-Token", ""), dict(self.headers.items()),
                           json.loads(raw) if raw else {}, self.vault.port)
        raise Refused(400, "failed to parse JSON input")

    def act(self, fault):
        """True when the fault was the answer."""
        if fault.delay:
            threading.Event().wait(fault.delay)
        if fault.action == "close":
            self.close_connection = True
            self.connection.close()
            return True
        if fault.action == "truncate":
            self.send_head(200, {"Content-Length": "4096"})
            self.wfile.write(b'{"data":{"da')
            self.wfile.flush()
            self.close_connection = True
            return True
        if fault.action == "huge":
            self.send_head(200, {"Transfer-Encoding": "chunked"})
            chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            for _ in range(4096):
                self.wfile.write(chunk)
            self.close_connection = True
            return True
        if fault.status:
            body = fault.body if fault.body is not None else {"errors": [f"a fault of {fault.status}"]}
            self.send(fault.status, fault.headers, body if isinstance(body, bytes) else json.dumps(body).encode())
            return True
        if fault.body is not None:
            self.send(200, fault.headers, fault.body if isinstance(fault.body, bytes) else json.dumps(fault.body).encode())
            return True
        return False

    def send_head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, status, headers, body):
        self.send_head(status, {"Content-Type": "application/json", "Cache-Control": "no-store", **headers,
                                **({} if status == 204 else {"Content-Length": str(len(body))})})
        if status != 204:
            self.wfile.write(body)

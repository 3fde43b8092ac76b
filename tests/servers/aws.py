"""A server that speaks, on loopback, what holdfast asks of AWS: Parameter Store, Secrets Manager and STS
over TLS, the container's credentials and IMDSv2 over http. For the tests, which set it up, order faults
and read what it was asked.

    aws = Aws(authority)                       https://127.0.0.1:PORT at aws.url, http at aws.metadata_url
    aws.parameters["/app/x"] = [Parameter("hunter2", "SecureString")]
    aws.fault("GetParameters", kind="error", status=400, type="ThrottlingException", times=2)

Every signature is computed anew by botocore and compared. What AWS does and this one keeps to: a
parameter that does not exist is HTTP 200 and in InvalidParameters; one that may not be read spoils the
call; ten names and twenty secrets a call at most; pages may be empty; what is signed more than five
minutes off is refused; IMDS answers nobody without a token.
"""
import base64
import collections
import email.utils
import http.server
import json
import re
import socket
import socketserver
import ssl
import threading
import time
import urllib.parse
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials

SKEW = 300


class Refused(Exception):
    def __init__(self, type_, message="", status=400):
        super().__init__(type_)
        self.type, self.message, self.status = type_, message, status


class Parameter:
    """One version of a parameter."""

    def __init__(self, value, kind="String", labels=()):
        self.value, self.kind, self.labels = value, kind, set(labels)


class Secret:
    """A secret: versions by id, each (text or bytes, stages)."""

    def __init__(self, value=None):
        self.versions, self.is_deleted = {}, False
        self.suffix = uuid.uuid4().hex[:6]
        if value is not None:
            self.put(value)

    def put(self, value, stages=("AWSCURRENT",)):
        for version, (old, had) in self.versions.items():
            self.versions[version] = (old, [s for s in had if s not in stages])
        version = str(uuid.uuid4())
        self.versions[version] = (value, list(stages))
        return version


class Bucket:
    """An account's quota: rate a second, burst of them at once."""

    def __init__(self, rate, burst):
        self.rate, self.burst, self.level, self.at = rate, burst, burst, time.monotonic()

    def take(self):
        now = time.monotonic()
        self.level, self.at = min(self.burst, self.level + (now - self.at) * self.rate), now
        if self.level < 1:
            return False
        self.level -= 1
        return True


class Served:
    """What became of one call: when it came and its answer went (CLOCK_MONOTONIC), and how many calls
    were being served when it came, itself included."""

    def __init__(self, operation, flying):
        self.operation, self.flying = operation, flying
        self.came, self.went, self.throttled = time.monotonic(), None, False


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, aws, handler, context, address):
        self.aws, self.context, self.accepted = aws, context, 0
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def finish_request(self, request, client_address):
        self.accepted += 1
        if self.context:
            request.settimeout(20)
            try:
                request = self.context.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError):
                return
        super().finish_request(request, client_address)

    def handle_error(self, request, client_address):
        pass  # a client that went away


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass

    def answer(self, status, body, headers=None, cut=None):
        """One write: headers and body apart would wait for each other's acknowledgement."""
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}",
                 "Date: " + email.utils.formatdate(self.server.aws.now(), usegmt=True)]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.wfile.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body[:cut])
        if cut is not None:
            self.close_connection = True

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))


class ApiHandler(Handler):
    served = None

    def do_POST(self):
        aws, body = self.server.aws, self.body()
        target = self.headers.get("X-Amz-Target", "")
        operation = target.split(".")[-1] or urllib.parse.parse_qs(body.decode()).get("Action", ["?"])[0]
        with aws.lock:
            aws.calls.append((operation, json.loads(body) if target else body.decode(), self.client_address))
            aws.flying += 1
            aws.flying_most = max(aws.flying, aws.flying_most)
            aws.served.append(Served(operation, aws.flying))
            self.served = aws.served[-1]
        if aws.delay:
            time.sleep(aws.delay)
        fault = aws.take_fault(operation)
        try:
            if fault and fault["kind"] == "wait":
                aws.released.wait(120)
                fault = None
            if fault and "barrier" in fault:
                fault["barrier"].wait(60)
            if fault and fault["kind"] != "cut":
                self.misbehave(fault)
            elif aws.is_throttled(operation):
                self.misbehave({"kind": "error", "type": "ThrottlingException"})
            elif target:
                aws.check_signature(self, body)
                self.answer(200, json.dumps(aws.operate(target, json.loads(body))).encode(),
                            {"Content-Type": "application/x-amz-json-1.1"}, cut=20 if fault else None)
            else:
                self.answer(200, aws.assume(urllib.parse.parse_qs(body.decode()), self.headers).encode())
        except Refused as why:
            body = json.dumps({"__type": "com.amazonaws.x#" + why.type, "message": why.message}).encode()
            if not target:
                body = f"<ErrorResponse><Error><Code>{why.type}</Code></Error></ErrorResponse>".encode()
            self.answer(why.status, body)
        finally:
            self.is_served()

    def is_served(self):
        """Before the first byte of the answer, so that whoever has it is not counted as being served."""
        with self.server.aws.lock:
            if self.served and self.served.went is None:
                self.served.went = time.monotonic()
                self.server.aws.flying -= 1

    def answer(self, status, body, headers=None, cut=None):
        self.is_served()
        super().answer(status, body, headers, cut)

    def do_GET(self):
        with self.server.aws.lock:
            self.server.aws.calls.append(("GET " + self.path, None, self.client_address))
        self.answer(404, b"")

    def misbehave(self, fault):
        kind = fault["kind"]
        if kind == "error":
            self.served.throttled = True
            self.answer(fault.get("status", 400), json.dumps({"__type": fault["type"]}).encode(),
                        fault.get("headers"))
        elif kind == "status":
            self.answer(fault["status"], fault.get("body", b"<html>"), fault.get("headers"))
        elif kind == "huge":
            self.answer(200, b'{"Parameters":[' + b" " * (9 << 20) + b"]}")
        elif kind == "close":
            self.close_connection = True
        elif kind == "hang":
            self.server.aws.released.wait(120)
            self.close_connection = True


class MetadataHandler(Handler):
    """IMDSv2 and the container's agent."""

    def do_PUT(self):
        aws = self.server.aws
        self.body()
        aws.metadata_calls.append("PUT " + self.path)
        if aws.metadata_hangs:
            aws.released.wait(20)
            self.close_connection = True
        elif self.path != "/latest/api/token" or self.headers.get("X-aws-ec2-metadata-token-ttl-seconds") != "21600":
            self.answer(400, b"")
        elif aws.metadata_status != 200:
            self.answer(aws.metadata_status, b"")
        else:
            aws.imds_token = uuid.uuid4().hex
            self.answer(200, aws.imds_token.encode())

    def do_GET(self):
        aws = self.server.aws
        aws.metadata_calls.append("GET " + self.path)
        if self.path.startswith("/container"):
            self.give_container()
            return
        if self.headers.get("X-aws-ec2-metadata-token") != aws.imds_token or aws.imds_forgets > 0:
            aws.imds_forgets -= 1
            self.answer(401, b"")
            return
        base = "/latest/meta-data/iam/security-credentials/"
        pages = {base: "web-role", base + "web-role": json.dumps({"Code": "Success", **aws.issue()}),
                 "/latest/meta-data/placement/region": aws.region, **aws.pages}
        text = pages.get(self.path)
        self.answer(200 if text else 404, (text or "").encode())

    def give_container(self):
        aws = self.server.aws
        if aws.container_fails > 0:
            aws.container_fails -= 1
            self.answer(503, b"")
        elif aws.container_token and self.headers.get("Authorization") != aws.container_token:
            self.answer(403, b"")
        else:
            self.answer(200, json.dumps({**aws.issue(), **aws.container_says}).encode())


class Aws:
    def __init__(self, authority=None, region="eu-central-1", metadata_address=("127.0.0.1", 0), certificate=None,
                 address=("127.0.0.1", 0), versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)):
        self.regions, self.here = {region: []}, threading.local()
        self.home, self.lock, self.released = region, threading.Lock(), threading.Event()
        self.parameters, self.secrets, self.denied = {}, {}, set()
        self.denied_says = ""  # the message to AccessDeniedException
        self.keys = {"AKIDEXAMPLE": ("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)}
        self.calls, self.metadata_calls, self.faults, self.served = [], [], [], []
        self.quotas = {}        # operation: Bucket
        self.batch_errors = {}  # of BatchGetSecretValue alone, name: what it says of that secret; None: nothing
        self.page_size, self.empty_pages = 10, False
        self.offset = self.delay = 0
        self.flying = self.flying_most = 0
        self.imds_token, self.imds_forgets, self.metadata_hangs, self.metadata_status = None, 0, False, 200
        self.pages = {}  # of the metadata service, beside its own
        self.container_token, self.identity_token = None, "web.identity.token"
        self.container_fails, self.container_says = 0, {}
        self.lifetime = 3600
        self.session_names = []  # of AssumeRoleWithWebIdentity
        self.servers = []
        self.api = self.metadata = None
        if authority:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version, context.maximum_version = versions
            if versions[0] < ssl.TLSVersion.TLSv1_2:
                context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.load_cert_chain(*(certificate or authority.issue("aws")))
            self.api = self.start(ApiHandler, context, address)
            self.port = self.api.server_address[1]
            self.url = f"https://{address[0]}:{self.port}"
        self.metadata = self.start(MetadataHandler, address=metadata_address)
        self.metadata_url = f"http://127.0.0.1:{self.metadata.server_address[1]}"

    def start(self, handler, context=None, address=("127.0.0.1", 0)):
        server = Server(self, handler, context, address)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.servers.append(server)
        return server

    def close(self):
        self.released.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def now(self):
        return time.time() + self.offset

    # ---- what tests order and read

    def fault(self, operation, kind="error", times=1, **how):
        self.faults.append({"operation": operation, "kind": kind, "times": times, **how})

    def take_fault(self, operation):
        with self.lock:
            for fault in self.faults:
                if fault["operation"] == operation and fault["times"] > 0:
                    fault["times"] -= 1
                    return fault
        return None

    def is_throttled(self, operation):
        with self.lock:
            return operation in self.quotas and not self.quotas[operation].take()

    def counts(self):
        with self.lock:
            return dict(collections.Counter(call[0] for call in self.calls))

    @property
    def region(self):
        """The one that the request of this thread was signed for."""
        return getattr(self.here, "region", self.home)

    def forget(self):
        with self.lock:
            self.calls.clear()
            self.served.clear()
        self.metadata_calls.clear()

    # ---- who asks

    def issue(self):
        """Fresh session credentials, as containers and instances get them."""
        key = "ASIA" + uuid.uuid4().hex[:16].upper()
        self.keys[key] = (uuid.uuid4().hex, "session/" + uuid.uuid4().hex + "+=")
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now() + self.lifetime))
        return {"AccessKeyId": key, "SecretAccessKey": self.keys[key][0], "Token": self.keys[key][1],
                "Expiration": ends, "Type": "AWS-HMAC"}

    def assume(self, form, headers):
        if "Authorization" in headers:
            raise Refused("IncompleteSignature")
        if form["WebIdentityToken"] != [self.identity_token] or form["Version"] != ["2011-06-15"] or \
                not form["RoleArn"][0].startswith("arn:") or not form["RoleSessionName"][0]:
            raise Refused("InvalidIdentityToken", status=400)
        self.session_names.append(form["RoleSessionName"][0])
        got = self.issue()
        token = got["Token"].replace("+", "&#43;")
        return ("<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
                "<AssumeRoleWithWebIdentityResult><Credentials>"
                f"<AccessKeyId>{got['AccessKeyId']}</AccessKeyId>\n"
                f"<SecretAccessKey>{got['SecretAccessKey']}</SecretAccessKey>"
                f"<SessionToken>{token}</SessionToken><Expiration>{got['Expiration']}</Expiration>"
                "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>")

    def check_signature(self, request, body):
        header = request.headers.get("Authorization", "")
        found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                             r"SignedHeaders=(\S+), Signature=([0-9a-f]{64})", header)
        if not found:
            raise Refused("MissingAuthenticationTokenException")
        key, _day, region, service, signed, _signature = found.groups()
        if key not in self.keys:
            raise Refused("UnrecognizedClientException")
        secret, token = self.keys[key]
        if request.headers.get("X-Amz-Security-Token") != token:
            raise Refused("UnrecognizedClientException")
        if region not in self.regions:
            raise Refused("InvalidSignatureException", "Credential should be scoped to a valid region")
        self.here.region = region
        self.regions[region].append(request.headers["X-Amz-Target"].split(".")[-1])
        names = signed.split(";")
        if not {"host", "x-amz-date", "x-amz-target"} <= set(names) or names != sorted(names):
            raise Refused("IncompleteSignature")
        date = request.headers["X-Amz-Date"]
        when = time.mktime(time.strptime(date, "%Y%m%dT%H%M%SZ")) - time.timezone
        if abs(when - self.now()) > SKEW:
            raise Refused("InvalidSignatureException", f"Signature expired: {date} is now earlier than …")
        self.compare(request, body, names, (key, secret), (region, service, date))

    def compare(self, request, body, names, keys, scope):
        region, service, date = scope
        copy = botocore.awsrequest.AWSRequest(
            method="POST", url=f"https://{request.headers['Host']}{request.path}", data=body,
            headers={name: request.headers[name] for name in names if name != "host"})
        copy.context["timestamp"] = date
        auth = botocore.auth.SigV4Auth(botocore.credentials.Credentials(*keys), service, region)
        canonical = auth.canonical_request(copy)
        signature = auth.signature(auth.string_to_sign(copy, canonical), copy)
        if not request.headers["Authorization"].endswith("=" + signature):
            raise Refused("InvalidSignatureException", "The request signature we calculated does not match")

    # ---- services

    def operate(self, target, body):
        service, operation = target.split(".")
        method = getattr(self, {"AmazonSSM": "ssm_", "secretsmanager": "asm_"}[service] + operation)
        if operation in self.denied:
            raise Refused("AccessDeniedException", f"not authorized to perform: {operation}")
        return method(body)

    def shown(self, name, number, selector=None):
        one = self.parameters[name][number - 1]
        shown = {"Name": name, "Type": one.kind, "Value": one.value, "Version": number, "DataType": "text",
                 "ARN": f"arn:aws:ssm:{self.region}:111122223333:parameter/{name.lstrip('/')}"}
        return {**shown, "Selector": ":" + selector} if selector else shown

    def find(self, asked):
        if asked in self.denied:
            raise Refused("AccessDeniedException", self.denied_says or f"not authorized on resource: {asked}")
        bare = asked.split(":parameter")[-1] if asked.startswith("arn:") else asked
        name, _, selector = bare.partition(":")
        versions = self.parameters.get(name)
        if not versions:
            return None
        if not selector:
            return self.shown(name, len(versions))
        for number, one in enumerate(versions, 1):
            if selector == str(number) or selector in one.labels:
                return self.shown(name, number, selector)
        return None

    def ssm_GetParameters(self, body):
        names = body["Names"]
        bases = [n.split(":")[0] for n in names if not n.startswith("arn:")]
        if not 1 <= len(names) <= 10 or len(set(bases)) < len(bases) or body["WithDecryption"] is not True:
            raise Refused("ValidationException")
        found = {name: self.find(name) for name in names}
        # In whatever order: nobody may count on it.
        return {"Parameters": [p for p in reversed(found.values()) if p],
                "InvalidParameters": [name for name, p in found.items() if not p]}

    def ssm_GetParametersByPath(self, body):
        if body["Path"] in self.denied:
            raise Refused("AccessDeniedException")
        below = body["Path"].rstrip("/") + "/"
        if body["MaxResults"] > 10 or not body["Recursive"] or (body["Path"] != "/" and body["Path"][-1] == "/"):
            raise Refused("ValidationException")
        names = sorted(n for n in self.parameters if n.startswith(below))
        at = int(body.get("NextToken", "0:0").split(":")[0])
        is_empty = self.empty_pages and body.get("NextToken", "0:0").endswith(":0")
        page = [] if is_empty else names[at:at + self.page_size]
        reply = {"Parameters": [self.shown(n, len(self.parameters[n])) for n in page]}
        if at + len(page) < len(names):
            reply["NextToken"] = f"{at + len(page)}:{1 if is_empty else 0}"
        return reply

    def asm_arn(self, name):
        return f"arn:aws:secretsmanager:{self.region}:111122223333:secret:{name}-{self.secrets[name].suffix}"

    def asm_find(self, asked):
        for name, secret in self.secrets.items():
            arn = self.asm_arn(name)
            if asked in (name, arn, arn[:-7]):
                if name in self.denied:
                    raise Refused("AccessDeniedException", self.denied_says)
                if secret.is_deleted:
                    raise Refused("InvalidRequestException", "You can't perform this operation on the secret "
                                  "because it was marked for deletion.")
                return name, secret
        raise Refused("ResourceNotFoundException")

    def asm_shown(self, name, version):
        value, stages = self.secrets[name].versions[version]
        shown = {"ARN": self.asm_arn(name), "Name": name, "VersionId": version, "VersionStages": stages,
                 "CreatedDate": 1700000000.123}
        if isinstance(value, bytes):
            return {**shown, "SecretBinary": base64.b64encode(value).decode()}
        return {**shown, "SecretString": value}

    def asm_GetSecretValue(self, body):
        name, secret = self.asm_find(body["SecretId"])
        stage = body.get("VersionStage", "AWSCURRENT")
        for version, (_value, stages) in secret.versions.items():
            if body.get("VersionId", version) == version and ("VersionId" in body or stage in stages):
                return self.asm_shown(name, version)
        raise Refused("ResourceNotFoundException")

    def asm_BatchGetSecretValue(self, body):
        reply = {"SecretValues": [], "Errors": []}
        if not 1 <= len(body["SecretIdList"]) <= 20:
            raise Refused("InvalidParameterException")
        for asked in body["SecretIdList"]:
            if asked in self.batch_errors:
                if self.batch_errors[asked]:
                    reply["Errors"].append({"SecretId": asked, "ErrorCode": self.batch_errors[asked], "Message": ""})
                continue
            try:
                reply["SecretValues"].append(self.asm_GetSecretValue({"SecretId": asked}))
            except Refused as why:
                reply["Errors"].append({"SecretId": asked, "ErrorCode": why.type, "Message": ""})
        return reply

    def asm_DescribeSecret(self, body):
        name, secret = self.asm_find(body["SecretId"])
        return {"ARN": self.asm_arn(name), "Name": name,
                "VersionIdsToStages": {v: stages for v, (_, stages) in secret.versions.items() if stages}}

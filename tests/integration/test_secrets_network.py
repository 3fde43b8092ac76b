#!/usr/bin/env python3
"""The way to a service: TLS that must not be less, the system's certificates, a proxy, and names by a real
resolver, in a network whose name server and addresses are the test's."""
import base64
import contextlib
import os
import socket
import ssl
import sys
import tempfile
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import harness
from network import Network
from remote import Remote
from servers import dns
from servers.aws import Aws, MetadataHandler, Parameter
from servers.dns import Dns
from servers.pki import Authority
from servers.proxy import Proxy
from servers.vault import Vault

KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
NAME = "ssm.example.test"
SYSTEM = "/etc/ssl/certs/ca-certificates.crt"
warnings.simplefilter("ignore", DeprecationWarning)  # of the old versions, which are the point
TLS10, TLS11 = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
ITEM = ("A", "ssm:x")
LAX_OPENSSL = ("openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n"
               "[c]\nMinProtocol = TLSv1\nCipherString = DEFAULT:@SECLEVEL=0\n")
# Of the metadata services, and some that a resolver has no reason to prefer to each other.
ADDRESSES = ("169.254.169.254", "169.254.170.2", "192.0.2.7", "192.0.2.8", "192.0.2.9")


class Case(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.TemporaryDirectory()
        cls.authority = Authority(cls.folder.name)
        cls.certificate = cls.authority.issue("aws", f"IP:127.0.0.1,DNS:{NAME},DNS:*.eu-central-1.amazonaws.com")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()
        super().tearDownClass()

    def closed(self, made):
        self.addCleanup(made.close)
        return made

    def server(self, run=lambda f, *a, **o: f(*a, **o), certificate=None, **options):
        aws = self.closed(run(Aws, self.authority, certificate=certificate or self.certificate, **options))
        aws.parameters["x"] = [Parameter("v")]
        return aws

    def remote(self, aws, settings=None, environment=None):
        """With static credentials, unless the settings are all there is."""
        given = settings if settings is not None else {
            "AWS_ENDPOINT_URL": aws.url, "AWS_CA_BUNDLE": self.authority.ca, "AWS_REGION": aws.region,
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": KEY}
        return self.closed(Remote(self.dir, given, environment=environment))

    def good(self, result):
        self.assertEqual((result.status, result.values), (0, {"A": "v"}), result.err)
        return result

    def bad(self, result, status, says):
        self.assertEqual((result.status, result.raw), (status, b""), result.err)
        self.assertIn(says, result.events[0]["msg"])
        return result


class Tls(Case):
    def test_nothing_below_1_2(self):
        network = self.closed(Network(files={"/etc/ssl/openssl.cnf": LAX_OPENSSL}))
        for version in (TLS10, TLS11):
            aws = self.server(network.run, versions=(TLS10, version))
            # The server would: a client that does not mind gets through.
            lax = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            lax.minimum_version = TLS10
            lax.set_ciphers("DEFAULT:@SECLEVEL=0")
            lax.load_verify_locations(self.authority.ca)
            with network.run(socket.create_connection, ("127.0.0.1", aws.port)) as plain, \
                    lax.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
                self.assertEqual(tls.version(), version.name.replace("_", ".").removesuffix(".0"))
            # So would OpenSSL, where the machine's configuration lets it: it is we who do not.
            self.bad(network.run(self.remote(aws).run, ITEM, deadline_ms=1000), 69, "ssm:x")
            self.assertEqual(aws.calls, [])

    def test_1_2_will_do(self):
        aws = self.server(versions=(ssl.TLSVersion.TLSv1_2,) * 2)
        self.good(self.remote(aws).run(ITEM))

    def test_certificates_that_do_not_hold(self):
        """Expired, of another name, of another authority; for Vault as for AWS."""
        other = Authority(f"{self.dir}/other", "another authority")
        for certificate, says in ((self.authority.issue("expired", days=-1), "expired"),
                                  (self.authority.issue("elsewhere", "DNS:elsewhere.example"), "127.0.0.1"),
                                  (other.issue("stranger"), "issuer certificate")):
            with self.subTest(says=says):
                aws = self.server(certificate=certificate)
                result = self.bad(self.remote(aws).run(ITEM), 69, "its certificate cannot be trusted")
                self.assertIn(says, result.events[0]["msg"])
                vault = self.closed(Vault(self.authority, certificate=certificate))
                remote = self.remote(None, {"VAULT_ADDR": vault.address, "VAULT_CACERT": self.authority.ca},
                                     {"VAULT_TOKEN": "hvs.planted"})
                result = self.bad(remote.run(("A", "vault:secret/app#k")), 69, "its certificate cannot be trusted")
                self.assertIn(says, result.events[0]["msg"])
                self.assertEqual((aws.calls, vault.requests), ([], []))


class Proxied(Case):
    """The name is known to the proxy alone: whoever gets through went through it."""

    def setUp(self):
        super().setUp()
        self.aws = self.server()
        self.host = f"{NAME}:{self.aws.port}"
        self.proxy = self.closed(Proxy({self.host: ("127.0.0.1", self.aws.port)}))

    def run_by(self, environment, **settings):
        remote = self.remote(self.aws, environment=environment)
        return remote.run(ITEM, **{"AWS_ENDPOINT_URL": f"https://{self.host}", "deadline_ms": 4000, **settings})

    def test_https_goes_by_the_proxy(self):
        for name in ("HTTPS_PROXY", "https_proxy"):
            for url in (self.proxy.url, self.proxy.url.removeprefix("http://"), f"{self.proxy.url}/"):
                self.good(self.run_by({name: url}))
        self.assertEqual(set(self.proxy.asked), {self.host})
        self.assertEqual(len(self.proxy.asked), 6)

    def test_a_proxy_sees_no_more_than_a_name(self):
        """TLS is with the service: a proxy that leads elsewhere is found out."""
        other = self.server(certificate=self.authority.issue("elsewhere", "DNS:elsewhere.example"))
        self.proxy.routes[self.host] = ("127.0.0.1", other.port)
        self.bad(self.run_by({"HTTPS_PROXY": self.proxy.url}), 69, "its certificate cannot be trusted")

    def test_no_proxy(self):
        for exempt in (NAME, f"elsewhere, {NAME}", ".example.test", "example.test", "*", self.host):
            result = self.run_by({"HTTPS_PROXY": self.proxy.url, "NO_PROXY": exempt}, deadline_ms=400)
            self.bad(result, 69, f"the name {NAME} cannot be resolved")
        self.assertEqual(self.proxy.asked, [])
        self.good(self.run_by({"HTTPS_PROXY": self.proxy.url, "NO_PROXY": "other.test,m.example.test,10.0.0.0/8," + NAME + ":1"}))

    def test_with_a_password_that_is_not_shown(self):
        self.proxy.authorization = "Basic " + base64.b64encode(b"me:pl4nted").decode()
        url = self.proxy.url.replace("http://", "http://me:pl4nted@")
        result = self.good(self.run_by({"HTTPS_PROXY": url}))
        self.assertNotIn("pl4nted", result.err)
        for wrong in (self.proxy.url, url.replace("me:", "you:")):
            result = self.bad(self.run_by({"HTTPS_PROXY": wrong}, deadline_ms=400), 69, "407")
            self.assertNotIn("pl4nted", result.err)
        self.assertEqual(len(self.aws.calls), 1)

    def test_a_proxy_that_is_none(self):
        self.bad(self.run_by({"HTTPS_PROXY": f"http://127.0.0.1:{harness.free_port()}"}, deadline_ms=400), 69, "onnect")
        self.bad(self.run_by({"HTTPS_PROXY": "nowhere.invalid:3128"}, deadline_ms=400), 69, "nowhere.invalid cannot be resolved")
        self.bad(self.run_by({"HTTPS_PROXY": "http://[::1"}), 78, "HTTPS_PROXY is no URL")

    def test_this_machine_is_never_behind_one(self):
        """Loopback and the metadata services, whatever the scheme: their answers are credentials."""
        everywhere = {name: self.proxy.url for name in ("HTTPS_PROXY", "HTTP_PROXY", "http_proxy", "ALL_PROXY")}
        remote = self.remote(self.aws, environment=everywhere)
        self.good(remote.run(ITEM))
        instance = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_REGION": None,
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.aws.metadata_url}
        self.good(remote.run(ITEM, **instance))
        self.assertEqual(self.proxy.asked, [])
        network = self.closed(Network(addresses=("169.254.170.23",)))
        agent = self.server(network.run, address=("169.254.170.23", 443), certificate=self.authority.issue(
            "agent", "IP:169.254.170.23"))
        result = network.run(self.remote(agent, environment=everywhere).run, ITEM)
        self.good(result)

    def test_vault_by_a_proxy_and_under_another_name(self):
        vault = self.closed(Vault(self.authority, certificate=self.certificate))
        vault.mount("secret", "kv", version=2)
        vault.put("secret", "app", {"k": "v"})
        environment = {"VAULT_TOKEN": vault.token(), "HTTPS_PROXY": self.proxy.url}
        for host, settings in ((NAME, {}), ("vault.elsewhere", {"VAULT_TLS_SERVER_NAME": NAME})):
            self.proxy.asked.clear()
            self.proxy.routes[f"{host}:{vault.port}"] = ("127.0.0.1", vault.port)
            remote = self.remote(None, {"VAULT_ADDR": f"https://{host}:{vault.port}",
                                        "VAULT_CACERT": self.authority.ca, **settings}, environment)
            self.good(remote.run(("A", "vault:secret/app#k"), deadline_ms=4000))
            self.assertEqual(self.proxy.asked, [f"{host}:{vault.port}"])
            self.assertEqual(vault.requests[-1].headers["Host"], f"{host}:{vault.port}")


class Names(Case):
    def setUp(self):
        super().setUp()
        with open(self.authority.ca, encoding="ascii") as f:
            files = {"/etc/resolv.conf": dns.CONF, SYSTEM: f.read()}
        self.network = self.closed(Network(addresses=ADDRESSES, files=files))
        self.names = {}
        self.dns = self.closed(self.network.run(Dns, self.names))

    def serve(self, **options):
        return self.server(self.network.run, **options)

    def run_at(self, aws, host=NAME, **settings):
        remote = self.remote(aws)
        return self.network.run(remote.run, ITEM, **{"AWS_ENDPOINT_URL": f"https://{host}:{aws.port}", **settings})

    def test_as_in_production(self):
        """Nothing is set: the service by its own name, the system's certificates, the instance's or the task's
        credentials at their own addresses, and a proxy for all else."""
        aws = self.serve(address=("127.0.0.1", 443), metadata_address=("169.254.169.254", 80))
        self.network.run(aws.start, MetadataHandler, address=("169.254.170.2", 80))
        self.names[f"ssm.{aws.region}.amazonaws.com"] = ["127.0.0.1"]
        away = {"HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": ".amazonaws.com"}
        self.good(self.network.run(self.remote(aws, {}, away).run, ITEM))
        self.assertIn("GET /latest/meta-data/placement/region", aws.metadata_calls)
        aws.forget()
        task = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/container/task", "AWS_REGION": aws.region}
        self.good(self.network.run(self.remote(aws, {}, {**away, **task}).run, ITEM))
        self.assertEqual(aws.metadata_calls, ["GET /container/task"])

    def test_the_systems_certificates_serve_vault_too(self):
        vault = self.closed(self.network.run(Vault, self.authority, certificate=self.certificate))
        vault.mount("secret", "kv", version=2)
        vault.put("secret", "app", {"k": "v"})
        remote = self.remote(None, {"VAULT_ADDR": vault.address}, {"VAULT_TOKEN": vault.token()})
        self.good(self.network.run(remote.run, ("A", "vault:secret/app#k")))

    def test_a_name_that_is_not(self):
        aws = self.serve()
        self.bad(self.run_at(aws, "gone.example.test", deadline_ms=400), 69,
                 "the name gone.example.test cannot be resolved: Name or service not known")

    def test_a_name_that_comes_later(self):
        """Early at boot the name server does not know it yet."""
        aws = self.serve()
        ask = self.dns.read
        def read(query):
            if len(self.dns.asked) >= 2:
                self.names[NAME] = ["127.0.0.1"]
            return ask(query)
        self.dns.read = read
        self.good(self.run_at(aws))

    def test_nobody_answers_for_a_name(self):
        aws = self.serve()
        self.names[NAME] = None
        self.bad(self.run_at(aws, deadline_ms=500), 69, "the deadline has passed")
        self.assertLessEqual(len(self.dns.asked), 2, "for both kinds of address once: it ended before the resolver asked again")

    def test_the_first_address_is_dead(self):
        """One that refuses, and one where nothing comes back: its queue is full."""
        aws = self.serve(address=("192.0.2.9", 0))
        self.names[NAME] = ["192.0.2.7", "192.0.2.9"]
        self.good(self.run_at(aws))
        with contextlib.ExitStack() as stack:
            silent = stack.enter_context(self.network.run(socket.create_server, ("192.0.2.8", aws.port), backlog=0))
            filler = stack.enter_context(self.network.run(socket.socket))
            filler.connect(silent.getsockname())
            self.names[NAME] = ["192.0.2.8", "192.0.2.9"]
            begin = time.monotonic()
            self.good(self.run_at(aws))
            self.assertGreater(time.monotonic() - begin, 0.5, "the first address was tried")

    def test_plain_http_by_a_name_needs_all_of_its_addresses_here(self):
        aws = self.serve()
        self.names.update({"here.example.test": ["127.0.0.1", "169.254.170.2"],
                           "both.example.test": ["127.0.0.1", "192.0.2.1"]})
        chain = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_ENDPOINT_URL": aws.url}
        port = aws.metadata.server_address[1]
        uri = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
        self.good(self.run_at(aws, **chain, **{uri: f"http://here.example.test:{port}/container/x"}))
        aws.forget()
        self.bad(self.run_at(aws, **chain, **{uri: f"http://both.example.test:{port}/container/x"}), 78, "use https")
        self.assertEqual(aws.metadata_calls, [])


if __name__ == "__main__":
    harness.main()

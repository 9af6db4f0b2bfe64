"""Coming in with name and password, with an OpenID Connect provider, over TLS, and behind a proxy."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from twin.core.errors import InputError
from twin.server.oidc import load_provider
from twin.server.serve import check_tls

PASSWORD = "correct horse battery"


def user(*arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "twin.cli.main", "user", *arguments]
    return subprocess.run(command, input=password, capture_output=True, text=True, timeout=120, check=False)


def test_a_user_signs_in_changes_the_password_and_is_put_out(server) -> None:
    with server.http() as admin, server.http("") as ann:
        assert admin.put("/api/users/Ann", json={"role": "editor", "password": "short"}).status_code == 422
        assert admin.put("/api/users/Ann", json={"role": "king", "password": PASSWORD}).status_code == 422
        assert admin.put("/api/users/Ann", json={"role": "editor"}).status_code == 422
        assert admin.put("/api/users/Ann", json={"role": "editor", "password": PASSWORD}).json()["role"] == "editor"
        assert ann.post("/api/login", json={"user": "Ann", "password": "wrong horse"}).status_code == 401
        assert ann.post("/api/login", json={"user": "Nobody", "password": PASSWORD}).status_code == 401
        assert ann.post("/api/login", json={"user": "Ann", "password": PASSWORD}).status_code == 204
        me = ann.get("/api/me").json()
        assert (me["user"], me["password"]) == ("Ann", True)
        assert ann.get("/api/me").json()["role"] == "editor"
        token = next(iter(ann.cookies.values()))
        tab = server.client("Mallory", token)
        assert tab.welcome().name == "Ann"
        assert ann.post("/api/password", json={"old": "wrong horse", "new": "another password"}).status_code == 403
        assert ann.post("/api/password", json={"old": PASSWORD, "new": "another password"}).status_code == 204
        assert tab.wait_closed() == 4401  # whoever else is signed in by that name is put out
        assert ann.get("/api/me").status_code == 401
        assert ann.post("/api/login", json={"user": "Ann", "password": "another password"}).status_code == 204
        assert admin.put("/api/users/Ann", json={"role": "viewer"}).status_code == 200  # keeps the password
        assert ann.get("/api/me").status_code == 401
        assert ann.post("/api/login", json={"user": "Ann", "password": "another password"}).status_code == 204
        assert ann.get("/api/me").json()["role"] == "viewer"
        assert [u["name"] for u in admin.get("/api/users").json()] == ["Ann"]
        assert admin.delete("/api/users/Ann").status_code == 204
        assert ann.get("/api/me").status_code == 401
        assert admin.delete("/api/users/Ann").status_code == 404
        log = [entry["detail"] for entry in admin.get("/api/audit").json() if entry["action"] in ("user", "sign-in")]
        assert log[0] == "Ann: no more"
        assert "viewer Ann" in log
        assert "wrong password, from 127.0.0.1" in log
        assert not any(PASSWORD in detail for detail in log)
    for file in server.project.glob("journal.db*"):
        assert PASSWORD.encode() not in file.read_bytes()


def test_signing_out_ends_what_signing_in_gave_and_comments_stay_one_s_own(server) -> None:
    with server.http() as admin, server.http("") as ann:
        admin.put("/api/users/Ann", json={"role": "editor", "password": PASSWORD})
        admin.put("/api/users/Bob", json={"role": "editor", "password": PASSWORD})
        ann.post("/api/login", json={"user": "Ann", "password": PASSWORD})
        token = next(iter(ann.cookies.values()))
        tab = server.client("Ann", token)
        comment = ann.post("/api/comments", json={"path": "/Line/Belt", "text": "too slow"}).json()["id"]
        assert ann.post("/api/logout").status_code == 204
        assert tab.wait_closed() == 4401
        with server.http(token) as copied:
            assert copied.get("/api/me").status_code == 401  # whoever has copied the cookie is out too
        ann.post("/api/login", json={"user": "Bob", "password": PASSWORD})
        assert ann.delete(f"/api/comments/{comment}").status_code == 403
        ann.post("/api/logout")
        ann.post("/api/login", json={"user": "Ann", "password": PASSWORD})
        assert ann.patch(f"/api/comments/{comment}", json={"text": "much too slow"}).json()["text"] == "much too slow"
        assert ann.delete(f"/api/comments/{comment}").status_code == 204
        # the project's own token and links stay good: they are kept elsewhere
        assert admin.post("/api/logout").status_code == 204
        assert admin.get("/api/me").status_code == 200


def test_an_address_that_others_reach_needs_somebody_who_may_come_in(make_server) -> None:
    """First-run set-up: a user is made before the first start, and then the server opens up."""
    server = make_server("--host", "0.0.0.0")
    refused = server.try_start()
    assert refused.returncode == 2
    assert "twin user add" in refused.stderr
    stage = str(server.stage)
    project = ["--project", str(server.project)]
    assert user("add", stage, "Ann", *project, "--role", "king", "--password-stdin", password=PASSWORD).returncode == 2
    assert user("add", stage, "Ann", *project, "--password-stdin", password="short\n").returncode == 2
    assert "admin" in user("add", stage, "Ann", *project, "--password-stdin", password=PASSWORD + "\n").stdout
    assert user("list", stage, *project).stdout == "Ann\tadmin\n"
    assert user("remove", stage, "Bob", *project).returncode == 2
    server.start()
    with server.http("") as http:
        assert http.post("/api/login", json={"user": "Ann", "password": PASSWORD}).status_code == 204
        assert http.get("/api/me").json()["role"] == "admin"
        # names that others know this machine by, and never one that somebody else's DNS may point here
        for name, status in (("127.0.0.1", 200), (socket.gethostname(), 200), ("evil.example", 421), ("203.0.113.7", 421)):
            assert http.get("/api/health", headers={"Host": name}).status_code == status, name
    port = server.url.rsplit(":", 1)[1]
    assert httpx.get(f"http://127.0.0.2:{port}/api/health").status_code == 200  # another address of this machine
    assert user("list", stage, *project).returncode == 2  # a running server has the project
    log = server.log.read_text()
    assert socket.gethostname().lower() in log
    assert "in the clear" in log


# ---- TLS and proxies


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "twin test")])
    now = datetime.datetime.now(datetime.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def test_with_a_certificate_all_is_encrypted_and_the_cookie_says_so(make_server, certificate) -> None:
    cert, key = certificate
    for wrong in ((cert, cert), (key, key), (cert.with_name("none.pem"), key)):
        with pytest.raises(InputError, match="--tls-cert"):
            check_tls(*wrong)
    server = make_server("--tls-cert", str(cert), "--tls-key", str(key))
    server.context = ssl.create_default_context(cafile=str(cert))
    server.start()
    assert server.url.startswith("https://127.0.0.1:")
    with server.http("") as http:
        answer = http.post("/api/login", json={"token": server.token}, headers={"Origin": server.url})
        assert answer.status_code == 204
        assert "secure" in answer.headers["set-cookie"].lower()
    assert server.client("Ann").welcome().name == "Ann"


def test_behind_a_proxy_the_public_address_counts(make_server) -> None:
    server = make_server("--public-url", "https://twin.example")
    server.start(local=True)
    assert server.ready["url"] == "https://twin.example"
    forwarded = {"Host": "twin.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"}
    with server.http("") as http:
        own = http.post("/api/login", json={"token": server.token}, headers=forwarded | {"Origin": "https://twin.example"})
        assert own.status_code == 204
        assert "secure" in own.headers["set-cookie"].lower()
        other = http.post("/api/login", json={"token": server.token}, headers=forwarded | {"Origin": "https://evil.example"})
        assert other.status_code == 403
    with server.http() as http:
        link = http.post("/api/share", json={"role": "viewer"}, headers=forwarded).json()["url"]
        assert link.startswith("https://twin.example/#token=")


# ---- OpenID Connect


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """A provider that nobody here wrote, in a process of its own."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--require-registration", "true"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    drain = threading.Thread(target=lambda: process.stderr.read(), daemon=True)
    drain.start()
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/.well-known/openid-configuration", trust_env=False)
            break
        except httpx.TransportError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    yield url
    process.terminate()
    process.wait(10)
    process.stderr.close()


def go(client: httpx.Client, url: str, sub: str) -> httpx.Response:
    """What a browser does: from the twin to the provider, say who one is there, and back."""
    begun = client.get(f"{url}/api/oidc/login")
    assert begun.status_code == 303, begun.text
    page = begun.headers["location"]
    query = parse_qs(urlsplit(page).query)
    assert query["code_challenge_method"] == ["S256"]
    assert query["nonce"]
    back = client.post(page, data={"sub": sub})
    assert back.status_code == 302, back.text
    return client.get(back.headers["location"])


def test_people_sign_in_with_their_provider_and_get_the_role_of_their_group(make_server, provider, tmp_path) -> None:
    with httpx.Client(trust_env=False) as http:
        for sub, groups in (("ann", ["plant-admins", "staff"]), ("bob", ["staff"]), ("eve", [])):
            claims = {"sub": sub, "preferred_username": sub.title(), "groups": groups}
            assert http.put(f"{provider}/users/{sub}", json=claims).status_code in (200, 204)
    server = make_server()
    server.port = server.free_port()
    redirect = f"http://127.0.0.1:{server.port}/api/oidc/callback"
    with httpx.Client(trust_env=False) as http:
        registered = http.post(f"{provider}/oauth2/clients", json={"redirect_uris": [redirect]}).json()
    config = tmp_path / "oidc.toml"
    config.write_text(
        f'issuer = "{provider}"\nclient_id = "{registered["client_id"]}"\nscope = "openid profile"\n'
        '[roles]\nplant-admins = "admin"\nstaff = "viewer"\n'
    )
    server.arguments += ["--oidc", str(config)]
    server.environment["TWIN_OIDC_CLIENT_SECRET"] = registered["client_secret"]
    server.start()
    for sub, role in (("ann", "admin"), ("bob", "viewer")):
        with httpx.Client(trust_env=False) as browser:
            assert "oidc" in browser.get(f"{server.url}/api/health").json()["sign_in"]
            done = go(browser, server.url, sub)
            assert (done.status_code, done.headers["location"]) == (303, "/"), done.text
            assert browser.get(f"{server.url}/api/me").json() | {"expires_ns": 0, "label": ""} == {
                "role": role, "user": sub.title(), "label": "", "expires_ns": 0, "password": False,
            }  # fmt: skip
    with httpx.Client(trust_env=False) as browser:
        browser.headers["accept"] = "text/html,*/*"
        nobody = go(browser, server.url, "eve")
        assert (nobody.status_code, nobody.headers["content-type"]) == (403, "text/html; charset=utf-8")
        assert "You are known as Eve, but have no role here" in nobody.text
        denied = browser.get(f"{server.url}/api/oidc/callback?error=access_denied")
        assert "The provider did not let you in: access_denied." in denied.text
        assert "Call" not in browser.get(f"{server.url}/api/oidc/callback?error=Call+me").text
        another = browser.get(f"{server.url}/api/oidc/login?another=true").headers["location"]
        assert parse_qs(urlsplit(another).query)["prompt"] == ["select_account"]
        assert browser.get(f"{server.url}/api/me").status_code == 401
    with httpx.Client(trust_env=False) as browser, httpx.Client(trust_env=False) as other:
        # a link with somebody else's code must not sign a victim in
        page = browser.get(f"{server.url}/api/oidc/login").headers["location"]
        back = browser.post(page, data={"sub": "ann"}).headers["location"]
        assert other.get(back).status_code == 400
        assert browser.get(back.replace("code=", "code=x")).status_code == 502
        assert browser.get(back).status_code == 400  # a state is good once
        assert browser.get(f"{server.url}/api/oidc/callback?state=guess&code=1").status_code == 400
        assert browser.get(f"{server.url}/api/oidc/callback?error=access_denied").status_code == 400


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("issuer = 1", "issuer"),
        ('issuer = "http://login.example"\nclient_id = "x"', "https"),
        ('issuer = "https://login.example"', "client_id"),
        ('issuer = "https://login.example"\nclient_id = "x"\nsecret = "x"', "secret"),
        ('issuer = "https://login.example"\nclient_id = "x"\n[roles]\na = "king"', "king"),
        ("not toml", "TOML"),
    ],
)
def test_a_provider_s_file_that_cannot_be_used_is_named(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "oidc.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=word):
        load_provider(file)

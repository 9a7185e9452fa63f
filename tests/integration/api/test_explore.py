import pytest, socket, time, httpx
from tests.integration.api.service import *

def show(name, a):
    print("##", name, a.status_code, a.headers.get("content-type"), a.headers.get("allow"), a.content[:150])

async def test_explore(service, member):
    job = await member.submit()
    r = await member.http.post("/generate", json={"prompt": "x"})
    print(r.status_code, r.headers, r.text)
    for m in ["HEAD","PUT","PATCH","TRACE","OPTIONS","POST","FOO"]:
        for p in ["/jobs/"+job, "/generate", "/config.json", "/", "/assets/app-0123abcd.js", "/nowhere", "/assets/", "/assets", f"/jobs/{job}/images/1", "/%s/oauth2/v2.0/token" % LOCAL_TENANT_ID]:
            show(m+" "+p, await member.http.request(m, p))
    for p in ["/assets/%00", "/assets/..%2f..%2fetc/passwd", "/assets/" + "a"*300, "/jobs/%00", f"/jobs%2f{job}", f"/jobs/{job}/", f"/%6aobs/{job}", f"//jobs/{job}", "/jobs/..%2f", f"/jobs/{job.upper()}", "/index.html", "/assets/%5c..%5c", "/assets//etc/passwd", "/jobs/%ff", "/assets/%ff%fe", "/assets/a/b/c", "/assets/app-0123abcd.js/x", "/docs","/redoc","/openapi.json","/metrics","/readyz","/healthz", "/assets/%ed%a0%80"]:
        show(p, await member.http.get(p))
    a = f"Authorization: Bearer {member.token}\r\n".encode()
    H = b"Host: x\r\n" + a + b"Content-Type: application/json\r\n"
    def ex(name, *sent):
        t=time.time()
        try:
            r = service.exchange(*sent); show(name, r); print("   ", dict(r.headers), round(time.time()-t,2))
        except Exception as e: print("##", name, repr(e))
    ex("garbage", b"\x00\x01\x02 garbage\r\n\r\n")
    ex("header flood", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "+b"a"*200_000+b"\r\n\r\n")
    ex("header 20k", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "+b"a"*20_000+b"\r\n\r\n")
    ex("2 hosts", b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n")
    ex("no host", b"GET /healthz HTTP/1.1\r\n\r\n")
    ex("CL+TE", b"POST /generate HTTP/1.1\r\n"+H+b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    ex("2 CL", b"POST /generate HTTP/1.1\r\n"+H+b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}")
    ex("neg CL", b"POST /generate HTTP/1.1\r\n"+H+b"Content-Length: -5\r\n\r\n{}")
    ex("TE gzip", b"POST /generate HTTP/1.1\r\n"+H+b"Transfer-Encoding: gzip, chunked\r\n\r\n{}")
    ex("bare LF", b"GET /healthz HTTP/1.1\nHost: x\n\n")
    ex("obs fold", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n")
    ex("CL 200M", b"POST /generate HTTP/1.1\r\n"+H+b"Content-Length: 200000000\r\n\r\n")
    ex("CL 200M expect", b"POST /generate HTTP/1.1\r\n"+H+b"Expect: 100-continue\r\nContent-Length: 200000000\r\n\r\n")
    ex("CL noauth", b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\n\r\n")
    ex("CL huge", b"POST /generate HTTP/1.1\r\n"+H+b"Content-Length: 99999999999999999999999\r\n\r\n")
    ex("surrogate", b"POST /generate HTTP/1.1\r\n"+H+b"Content-Length: 19\r\n\r\n{\"prompt\":\"\\ud800\"}")
    ex("upgrade", b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    ex("http1.0", b"GET /healthz HTTP/1.0\r\n\r\n")
    ex("abs uri", b"GET http://evil/healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    ex("nonascii target", b"GET /\xc3\xbc HTTP/1.1\r\nHost: x\r\n\r\n")
    ex("2 idem", b"POST /generate HTTP/1.1\r\n"+H+b"Idempotency-Key: a\r\nIdempotency-Key: b\r\nContent-Length: 14\r\n\r\n{\"prompt\":\"a\"}")
    # endless
    with service.connection() as c:
        c.sendall(b"POST /generate HTTP/1.1\r\n"+H+b"Transfer-Encoding: chunked\r\n\r\n")
        n=0; t=time.time()
        try:
            while time.time()-t<3:
                c.sendall(b"1000\r\n"+b"a"*4096+b"\r\n"); n+=1
        except OSError as e: print("endless ended", repr(e))
        print("endless sent", n*4096)
        try: show("endless", Answer.read(c))
        except Exception as e: print(repr(e))
    # disconnect mid body
    with service.connection() as c:
        c.sendall(b"POST /generate HTTP/1.1\r\n"+H+b"Content-Length: 100\r\n\r\n{\"pro")
        time.sleep(.3)
    time.sleep(.5)
    import httpx
    try:
        r = httpx.post(service.url+"/generate", content=(b"x"*65536 for _ in range(3000)), headers={"content-type":"application/json","authorization":"Bearer "+member.token})
        show("httpx 200MB", r)
    except Exception as e: print(repr(e))

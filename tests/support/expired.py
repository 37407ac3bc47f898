"""A copy of a certificate with other dates, signed by the same CA."""

import os
import shutil

from support import proc

CONFIG = """[ca]
default_ca = own
[own]
database = {out}/index
serial = {out}/serial
new_certs_dir = {out}
certificate = {ca}/ca.crt
private_key = {ca}/ca.key
default_md = sha256
policy = any
copy_extensions = copy
x509_extensions = client
[any]
organizationName = optional
commonName = supplied
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectAltName = {san}
"""


def expired_copy(certs, ca, out):
    """A certificate of January 2020."""
    dated_copy(certs, ca, out, "20200101", "20200201")


def dated_copy(certs, ca, out, start, end):
    """Fills out with tls.crt (valid from start to end, YYYYMMDD), tls.key and ca.crt of certs."""
    os.makedirs(out)
    for name in ("tls.key", "ca.crt"):
        shutil.copy(os.path.join(certs, name), out)
    old = os.path.join(certs, "tls.crt")
    names = proc.run(["openssl", "x509", "-in", old, "-noout", "-ext", "subjectAltName"]).stdout
    subject = proc.run(["openssl", "x509", "-in", old, "-noout", "-subject", "-nameopt",
                        "compat"]).stdout.split("subject=")[1].strip()
    san = names.strip().splitlines()[-1].strip().replace("IP Address:", "IP:")
    for name, text in (("index", ""), ("serial", "7f01\n"),
                       ("ca.conf", CONFIG.format(out=out, ca=ca, san=san))):
        with open(os.path.join(out, name), "w", encoding="utf-8") as file:
            file.write(text)
    proc.run(["openssl", "req", "-new", "-key", f"{out}/tls.key", "-subj", subject, "-out",
              f"{out}/request"])
    proc.run(["openssl", "ca", "-batch", "-notext", "-config", f"{out}/ca.conf", "-in",
              f"{out}/request", "-out", f"{out}/tls.crt", "-startdate", f"{start}000000Z",
              "-enddate", f"{end}000000Z"])

"""Certificates of our own: one that holds, and those that do not."""

import datetime as dt
import ssl
import subprocess
from pathlib import Path

from recorder.clock import wall_ns


class Certificates:
    """Makes certificates in a folder.

    Attributes:
        trusted: The file of who signed the good ones.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.trusted = folder / "ca.pem"
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        (folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\nnew_certs_dir={folder}\ndatabase={folder}/index\n"
            f"serial={folder}/serial\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\n"
            "unique_subject=no\n[p]\ncommonName=supplied\n"
        )
        self._new_key("ca", "recorder trial CA")
        self._signed_by_itself("ca")
        now = dt.datetime.fromtimestamp(wall_ns() // 10**9, dt.UTC)
        soon = now + dt.timedelta(days=2)
        past = now - dt.timedelta(days=2)
        older = now - dt.timedelta(days=9)
        for name, host, begin, end in (
            ("good", "localhost", past, soon),
            ("other name", "elsewhere.example", past, soon),
            ("expired", "localhost", older, past),
        ):
            self._new_key(name, host)
            self._signed(name, begin, end)
        self._new_key("self-signed", "localhost")
        self._signed_by_itself("self-signed")

    def context(self) -> ssl.SSLContext:
        """Return a server's context that shows the good one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.show(context, "good")
        return context

    def show(self, context: ssl.SSLContext, name: str) -> None:
        """Have a context show another one from now on."""
        files = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        context.load_cert_chain(*map(str, files))

    def _new_key(self, name: str, host: str) -> None:
        self._openssl(
            *(
                "req",
                "-new",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *(
                "-nodes",
                "-subj",
                f"/CN={host}",
                "-addext",
                f"subjectAltName=DNS:{host}",
            ),
            *("-keyout", f"{name}.key", "-out", f"{name}.csr"),
        )

    def _signed(self, name: str, begin: dt.datetime, end: dt.datetime) -> None:
        dates = [f"{at:%Y%m%d%H%M%SZ}" for at in (begin, end)]
        self._openssl(
            *("ca", "-batch", "-config", "ca.cnf", "-in", f"{name}.csr"),
            *("-cert", "ca.pem", "-keyfile", "ca.key", "-out", f"{name}.pem"),
            *("-startdate", dates[0], "-enddate", dates[1], "-notext"),
        )

    def _signed_by_itself(self, name: str) -> None:
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-signkey", f"{name}.key"),
            *("-days", "2", "-out", f"{name}.pem"),
        )

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments],
            cwd=self._folder,
            check=True,
            capture_output=True,
        )

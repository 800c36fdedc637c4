"""Takes mail after STARTTLS, and appends it to a file, until its input ends."""

import ssl
import sys

from aiosmtpd.controller import Controller

port, certificate, key, mails = sys.argv[1:]


class Handler:
    """Handler of mails."""

    async def handle_DATA(self, server, session, envelope):
        """Appends a mail with its envelope."""
        with open(mails, "a") as file:
            file.write(f"{session.ssl is not None} {envelope.mail_from} {envelope.rcpt_tos}\n")
            file.write(envelope.content.decode())
        return "250 taken"


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
options = {"tls_context": context, "require_starttls": True}
Controller(Handler(), hostname="127.0.0.1", port=int(port), **options).start()
sys.stdin.read()

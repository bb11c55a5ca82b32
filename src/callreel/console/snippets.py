"""The API resource of a recording, and how to ask for it from a shell, from Python and from Node."""

from __future__ import annotations

import json
import re

from markupsafe import Markup, escape

from callreel.model.recording import Recording
from callreel.model.recording_resource import recording_json
from callreel.model.video_recording_resource import video_recording_json

_TOKENS = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null|-?[0-9][0-9.eE+-]*)\b')
Snippet = tuple[str, str, str]


def snippets_of(recording: Recording, public_url: str) -> list[Snippet]:
    """Name, id and text of each."""
    account, sid = recording.account_sid, recording.sid
    resource = coloured(recording_json(recording, public_url))
    path = f"{public_url}/2010-04-01/Accounts/{account}/Recordings/{sid}"
    curl = f"""curl -u {account}:$AUTH_TOKEN \\
  "{path}.json"

# its media
curl -L -u {account}:$AUTH_TOKEN -o {sid}.wav \\
  "{path}.wav\""""
    python = f"""from twilio.rest import Client
from twilio.http.http_client import TwilioHttpClient


class Here(TwilioHttpClient):
    def request(self, method, url, *args, **more):
        return super().request(method, url.replace("https://api.twilio.com", "{public_url}"), *args, **more)


client = Client("{account}", auth_token, http_client=Here())
recording = client.recordings("{sid}").fetch()
print(recording.status, recording.media_url)"""
    node = f"""const answer = await fetch(
  "{path}.json",
  {{ headers: {{ Authorization: "Basic " + btoa("{account}:" + process.env.AUTH_TOKEN) }} }},
);
const recording = await answer.json();
console.log(recording.status, recording.media_url);"""
    return [("JSON", "json", resource), ("curl", "curl", curl), ("Python", "python", python), ("Node", "node", node)]


def video_snippets_of(recording: Recording, public_url: str) -> list[Snippet]:
    """The same for a video recording."""
    account, sid = recording.account_sid, recording.sid
    assert recording.video is not None
    resource = coloured(video_recording_json(recording, public_url))
    path = f"{public_url}/v1/Recordings/{sid}"
    curl = f"""curl -u {account}:$AUTH_TOKEN \\
  "{path}"

# its media
curl -L -u {account}:$AUTH_TOKEN -o {sid}.{recording.video.container} \\
  "{path}/Media\""""
    python = f"""from twilio.rest import Client

client = Client("{account}", auth_token)
client.video.base_url = "{public_url}"
recording = client.video.v1.recordings("{sid}").fetch()
print(recording.status, recording.links["media"])"""
    node = f"""const answer = await fetch(
  "{path}",
  {{ headers: {{ Authorization: "Basic " + btoa("{account}:" + process.env.AUTH_TOKEN) }} }},
);
const recording = await answer.json();
console.log(recording.status, recording.links.media);"""
    return [("JSON", "json", resource), ("curl", "curl", curl), ("Python", "python", python), ("Node", "node", node)]


def coloured(value: object) -> Markup:
    """A value as JSON, with its names, texts and other values told apart by colour."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    parts, at = [], 0
    for token in _TOKENS.finditer(text):
        parts.append(escape(text[at : token.start()]))
        quoted, colon = token.groups()
        kind = "c" if quoted is None else "k" if colon else "s"
        parts.append(Markup('<span class="{}">{}</span>{}').format(kind, quoted or token.group(), colon or ""))
        at = token.end()
    return Markup("").join([*parts, escape(text[at:])])

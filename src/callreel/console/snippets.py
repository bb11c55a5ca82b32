"""The API resource of a recording, and how to ask for it from a shell, from Python and from Node."""

from __future__ import annotations

import json

from callreel.model.recording import Recording
from callreel.model.recording_resource import recording_json


def snippets_of(recording: Recording, public_url: str) -> list[tuple[str, str, str]]:
    """Name, id and text of each."""
    account, sid = recording.account_sid, recording.sid
    resource = json.dumps(recording_json(recording, public_url), indent=2, ensure_ascii=False)
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

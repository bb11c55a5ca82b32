"""What a customer of Twilio has had running for years. It knows Twilio's documentation and package, and nothing else.

    python existing_twilio_code.py switch-on BUCKET_URL ACCESS_KEY_ID SECRET_ACCESS_KEY
    python existing_twilio_code.py archive DIRECTORY

TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN are in the environment, as in Twilio's samples.
"""

import json
import os
import sys
from pathlib import Path

import requests
from twilio.base.exceptions import TwilioRestException
from twilio.rest import Client

account_sid = os.environ["TWILIO_ACCOUNT_SID"]
auth_token = os.environ["TWILIO_AUTH_TOKEN"]
client = Client(account_sid, auth_token)


def switch_on(bucket_url, access_key_id, secret_access_key):
    """Create an AWS credential and have video recordings stored in the bucket."""
    credential = client.accounts.v1.credentials.aws.create(
        credentials=f"{access_key_id}:{secret_access_key}", friendly_name="recordings"
    )
    recording_settings = client.video.v1.recording_settings().create(
        aws_s3_url=bucket_url,
        aws_credentials_sid=credential.sid,
        aws_storage_enabled=True,
        friendly_name="store recordings in our bucket",
    )
    print(json.dumps({"credential": credential.sid, "stored_by": recording_settings.aws_credentials_sid}))


def archive(directory):
    """Download every recording, voice and video, then delete it at Twilio."""
    saved = {}
    for recording in client.recordings.list(page_size=2):
        media = requests.get(f"{recording.media_url}.wav", auth=(account_sid, auth_token), timeout=30)
        media.raise_for_status()
        (directory / f"{recording.sid}.wav").write_bytes(media.content)
        saved[recording.sid] = [recording.status, recording.duration]
        client.recordings(recording.sid).delete()

    for recording in client.video.v1.recordings.list(status="completed", page_size=2):
        uri = f"https://video.twilio.com/v1/Recordings/{recording.sid}/Media"
        response = client.request("GET", uri)
        media_location = json.loads(response.text).get("redirect_to")
        media = requests.get(media_location, timeout=30)
        media.raise_for_status()
        (directory / f"{recording.sid}.{recording.container_format}").write_bytes(media.content)
        saved[recording.sid] = [recording.status, recording.duration]
        client.video.v1.recordings(recording.sid).delete()

    try:
        client.recordings(min(saved)).fetch()
        gone = None
    except TwilioRestException as error:
        gone = [error.status, error.code]
    print(json.dumps({"saved": saved, "left": len(client.recordings.list()), "gone": gone}))


if __name__ == "__main__":
    if sys.argv[1] == "switch-on":
        switch_on(*sys.argv[2:])
    else:
        archive(Path(sys.argv[2]))

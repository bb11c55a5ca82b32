// Twilio's own Node package, unmodified, as a user of callreel. Prints what it saw as one JSON object.
//   node judge.mjs <base URL>          TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN in the environment
import assert from "node:assert/strict";
import twilio from "twilio";

const [base] = process.argv.slice(2);
const sid = process.env.TWILIO_ACCOUNT_SID;

function clientOf(token) {
  const client = twilio(sid, token);
  for (const domain of [client.api, client.accounts, client.video]) domain.baseUrl = base;
  return client;
}

// What the package made of a refusal.
async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return { name: error.name, status: error.status, code: error.code, message: error.message, moreInfo: error.moreInfo };
  }
  assert.fail("this should have been refused");
}

async function credentials(client) {
  const aws = client.accounts.v1.credentials.aws;
  const made = await aws.create({ credentials: `AKIAIOSFODNN7EXAMPLE:${"k".repeat(40)}`, friendlyName: "bucket" });
  assert.ok(made.dateCreated instanceof Date && !Number.isNaN(made.dateCreated.getTime()));
  assert.equal((await aws(made.sid).update({ friendlyName: "renamed" })).friendlyName, "renamed");
  const spare = await aws.create({ credentials: `AKIAIOSFODNN7EXAMPLE:${"k".repeat(40)}` });
  assert.deepEqual((await aws.list({ pageSize: 1 })).map((row) => row.sid), [spare.sid, made.sid]);
  assert.equal(await aws(spare.sid).remove(), true);
  assert.equal((await aws(made.sid).fetch()).sid, made.sid);
  return made.sid;
}

async function videoSettings(client, credential) {
  const settings = client.video.v1.recordingSettings();
  assert.equal((await settings.fetch()).awsStorageEnabled, false);
  const saved = await settings.create({
    friendlyName: "ours",
    awsCredentialsSid: credential,
    awsS3Url: "https://recordings.s3.amazonaws.com/v",
    awsStorageEnabled: true,
  });
  assert.deepEqual([saved.awsStorageEnabled, saved.awsCredentialsSid], [true, credential]);
  assert.equal((await settings.create({ friendlyName: "ours", awsStorageEnabled: false })).awsStorageEnabled, false);
}

async function recordings(client) {
  const all = await client.recordings.list({ pageSize: 2 });
  assert.deepEqual((await client.recordings.list({ limit: 3, pageSize: 2 })).map((r) => r.sid), all.slice(0, 3).map((r) => r.sid));
  const eachOne = [];
  await new Promise((resolve, reject) =>
    client.recordings.each({ pageSize: 2, callback: (r) => eachOne.push(r.sid), done: (error) => (error ? reject(error) : resolve()) }),
  );
  assert.deepEqual(eachOne, all.map((r) => r.sid));
  const page = await client.recordings.page({ pageSize: 2 });
  const next = await page.nextPage();
  assert.deepEqual((await next.previousPage()).instances.map((r) => r.sid), page.instances.map((r) => r.sid));
  const yesterday = new Date(Date.now() - 86_400_000);
  assert.equal((await client.recordings.list({ dateCreatedBefore: yesterday })).length, 0);
  assert.equal((await client.recordings.list({ dateCreatedAfter: yesterday })).length, all.length);
  const one = await client.recordings(all[0].sid).fetch();
  assert.deepEqual([one.status, one.channels, one.source, one.errorCode], ["completed", 1, "OutboundAPI", null]);
  assert.ok(one.startTime instanceof Date && !Number.isNaN(one.startTime.getTime()));
  const ofCall = await client.calls(one.callSid).recordings.list();
  assert.deepEqual(ofCall.map((r) => r.sid), all.map((r) => r.sid));
  assert.equal(await client.recordings(one.sid).remove(), true);
  assert.equal((await client.recordings.list()).length, all.length - 1);
  assert.equal((await client.recordings(one.sid).fetch({ includeSoftDeleted: true })).status, "deleted");
  return { listed: all.map((r) => r.sid), deleted: one.sid, call: one.callSid };
}

const client = clientOf(process.env.TWILIO_AUTH_TOKEN);
const credential = await credentials(client);
await videoSettings(client, credential);
const seen = await recordings(client);
console.log(
  JSON.stringify({
    listed: seen.listed,
    refusals: {
      gone: await refused(client.recordings(seen.deleted).fetch()),
      malformed: await refused(client.accounts.v1.credentials.aws.create({ credentials: "nonsense" })),
      stranger: await refused(clientOf("0".repeat(32)).recordings.list()),
      notLive: await refused(client.calls(seen.call).recordings.create({})),
      tooMany: await refused(client.recordings.page({ pageSize: 1001 })),
    },
  }),
);

// Opens a recording that was encrypted with its owner's public key, in this page and nowhere else: RSA-OAEP (SHA-256)
// unwraps the content key, AES-256-GCM decrypts and checks the tag. The private key is never sent, stored or logged.
const TAG_BYTES = 16;

/** What went wrong, in words for the person. */
export class CannotOpen extends Error {
  constructor(title, words) {
    super(`${title} ${words}`);
    this.said = { title, words, kind: "bad" };
  }
}

/** A PEM file's private key, for unwrapping only. Raises `CannotOpen`. */
export async function readKey(text) {
  if (!globalThis.crypto?.subtle) {
    throw new CannotOpen("This page is not served over HTTPS.", "Browsers decrypt only on https:// pages and on localhost. Open the Console over HTTPS.");
  }
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type:.*ENCRYPTED/.test(text)) {
    throw new CannotOpen("This key has a passphrase.", "Take it off a copy first: openssl pkcs8 -in key.pem -out plain.pem -nocrypt");
  }
  if (/BEGIN (RSA )?PUBLIC KEY|BEGIN CERTIFICATE/.test(text)) {
    throw new CannotOpen("This is a public key.", "It takes the private key that belongs to it to open a recording.");
  }
  const found = /-----BEGIN (RSA )?PRIVATE KEY-----([\sA-Za-z0-9+/=]+)-----END/.exec(text);
  if (!found) throw new CannotOpen("This is not a private key.", "Choose the PEM file that begins with -----BEGIN PRIVATE KEY-----.");
  try {
    const der = fromBase64(found[2].replace(/\s/g, ""));
    const pkcs8 = found[1] ? wrapped(der) : der;
    return await crypto.subtle.importKey("pkcs8", pkcs8, { name: "RSA-OAEP", hash: "SHA-256" }, false, ["decrypt"]);
  } catch {
    throw new CannotOpen("This private key cannot be read.", "It must be an RSA key in PEM.");
  }
}

/** The recording, whole and proved by its tag. Raises `CannotOpen`. */
export async function open(key, opening, ciphertext) {
  let cek;
  try {
    cek = await crypto.subtle.decrypt({ name: "RSA-OAEP" }, key, fromBase64(opening.cek));
  } catch {
    throw new CannotOpen("This key does not open this recording.", `It was encrypted with the public key ${opening.key}. Choose the private key that belongs to it.`);
  }
  if (ciphertext.byteLength < TAG_BYTES) throw new CannotOpen("The file is cut short.", "It ends before its tag.");
  try {
    const content = await crypto.subtle.importKey("raw", cek, "AES-GCM", false, ["decrypt"]);
    return await crypto.subtle.decrypt({ name: "AES-GCM", iv: fromBase64(opening.iv), tagLength: 128 }, content, ciphertext);
  } catch {
    throw new CannotOpen("The recording was changed.", "The key is right, but the file does not match its tag: some byte is not what was encrypted. Nothing of it is played.");
  } finally {
    new Uint8Array(cek).fill(0);
  }
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** PKCS#1 as PKCS#8, which is all that browsers read. */
function wrapped(pkcs1) {
  const algorithm = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];
  const inner = der(4, pkcs1);
  return der(0x30, Uint8Array.from([2, 1, 0, ...algorithm, ...inner]));
}

function der(tag, body) {
  const size = body.length;
  const length = size < 0x80 ? [size] : size < 0x100 ? [0x81, size] : [0x82, size >> 8, size & 0xff];
  return Uint8Array.from([tag, ...length, ...body]);
}

// A WAV, read from its first bytes, and its samples as 16 bit. Sizes in the head are claims: nothing is allocated by them.
const CODECS = { "1/8": "u8", "1/16": "s16", "1/24": "s24", "7/8": "mulaw", "6/8": "alaw" };

/** What is in a WAV of `total` bytes whose first bytes are given; null when it is none that plays here. */
export function readHead(bytes, total) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 44 || name(0) !== "RIFF" || name(8) !== "WAVE") return null;
  let format = null;
  for (let at = 12, chunks = 0; at + 8 <= bytes.length && chunks < 64; chunks++) {
    const size = view.getUint32(at + 4, true);
    if (name(at) === "fmt " && at + 24 <= bytes.length) {
      let tag = view.getUint16(at + 8, true);
      if (tag === 0xfffe && at + 34 <= bytes.length) tag = view.getUint16(at + 32, true);
      const bits = view.getUint16(at + 22, true);
      format = { channels: view.getUint16(at + 10, true), rate: view.getUint32(at + 12, true), bits, codec: CODECS[`${tag}/${bits}`] };
    }
    if (name(at) === "data") {
      if (!format?.codec || format.channels < 1 || format.channels > 2 || !format.rate) return null;
      const frame = (format.channels * format.bits) / 8;
      const length = Math.min(size, total - at - 8);
      return { ...format, frame, start: at + 8, frames: Math.floor(length / frame) };
    }
    at += 8 + size + (size & 1);
  }
  return null;
}

/** Whole frames as 16-bit samples, channels interleaved. */
export function toSamples(bytes, head) {
  const count = Math.floor(bytes.length / head.frame) * head.channels;
  const out = new Int16Array(count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = {
    s16: (i) => view.getInt16(2 * i, true),
    s24: (i) => view.getInt16(3 * i + 1, true),
    u8: (i) => (bytes[i] - 128) << 8,
    mulaw: (i) => MULAW[bytes[i]],
    alaw: (i) => ALAW[bytes[i]],
  }[head.codec];
  for (let i = 0; i < count; i++) out[i] = read(i);
  return out;
}

// ITU-T G.711.
const MULAW = Int16Array.from({ length: 256 }, (_, code) => {
  const u = ~code & 0xff;
  const t = (((u & 15) << 3) + 132) << ((u & 0x70) >> 4);
  return u & 0x80 ? 132 - t : t - 132;
});
const ALAW = Int16Array.from({ length: 256 }, (_, code) => {
  const a = code ^ 0x55;
  const segment = (a & 0x70) >> 4;
  let t = (a & 15) << 4;
  t = segment === 0 ? t + 8 : (t + 264) << (segment - 1);
  return a & 0x80 ? t : -t;
});

/** The loudest sample of each tenth of a second and channel, 0 to 255: as the server makes them. */
export function peaksOf(bytes, head) {
  const tenth = Math.max(1, Math.floor(head.rate / 10));
  const found = new Uint8Array(Math.ceil(head.frames / tenth) * head.channels);
  for (let at = 0, n = 0; at < head.frames; at += tenth, n++) {
    const begin = head.start + at * head.frame;
    const samples = toSamples(bytes.subarray(begin, begin + Math.min(tenth, head.frames - at) * head.frame), head);
    for (let i = 0; i < samples.length; i++) {
      const slot = n * head.channels + (i % head.channels);
      const loud = Math.min(255, Math.ceil((Math.abs(samples[i]) * 255) / 32768));
      if (loud > found[slot]) found[slot] = loud;
    }
  }
  return found;
}

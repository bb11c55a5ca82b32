// PCM as FLAC in fragmented MP4, so that a browser plays a WAV a few seconds at a time: its own WAV reader fetches
// megabytes before the first sound. The samples are stored verbatim (RFC 9639, 9.2.2): no bit of them changes.
export const BLOCK = 4096; // samples a FLAC frame
export const TYPE = 'audio/mp4; codecs="flac"';

const CRC8 = table(8, 0x07);
const CRC16 = table(16, 0x8005);

function table(bits, polynomial) {
  const top = 1 << (bits - 1);
  const mask = bits === 8 ? 0xff : 0xffff;
  return Array.from({ length: 256 }, (_, byte) => {
    let crc = byte << (bits - 8);
    for (let i = 0; i < 8; i++) crc = crc & top ? ((crc << 1) ^ polynomial) & mask : (crc << 1) & mask;
    return crc;
  });
}

/** One frame of up to BLOCK samples a channel, as it stands in a stream of equal blocks. */
function flacFrame(samples, channels, number) {
  const count = samples.length / channels;
  const head = [0xff, 0xf8, (count === BLOCK ? 0xc0 : 0x70) | 0, ((channels - 1) << 4) | (4 << 1), ...coded(number)];
  if (count !== BLOCK) head.push((count - 1) >> 8, (count - 1) & 0xff);
  head.push(head.reduce((crc, byte) => CRC8[crc ^ byte], 0));
  const out = new Uint8Array(head.length + channels * (1 + 2 * count) + 2);
  out.set(head);
  let at = head.length;
  for (let channel = 0; channel < channels; channel++) {
    out[at++] = 2; // a verbatim subframe without wasted bits
    for (let i = channel; i < samples.length; i += channels) {
      out[at++] = samples[i] >> 8;
      out[at++] = samples[i];
    }
  }
  let crc = 0;
  for (let i = 0; i < at; i++) crc = ((crc << 8) & 0xffff) ^ CRC16[(crc >> 8) ^ out[i]];
  out[at++] = crc >> 8;
  out[at] = crc;
  return out;
}

/** A number as FLAC writes it: UTF-8's scheme, for up to 31 bits. */
function coded(number) {
  if (number < 0x80) return [number];
  for (let more = 1, limit = 0x800; ; more++, limit *= 32) {
    if (number < limit) {
      const lead = (0xff << (7 - more)) & 0xff;
      const bytes = [];
      for (let i = 0; i < more; i++, number = Math.floor(number / 64)) bytes.unshift(0x80 | (number % 64));
      return [(lead & 0xff) | number, ...bytes];
    }
  }
}

const u16 = (n) => [(n >> 8) & 0xff, n & 0xff];
const u32 = (n) => [(n >>> 24) & 0xff, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff];
const u64 = (n) => [...u32(Math.floor(n / 2 ** 32)), ...u32(n >>> 0)];
const zeros = (n) => Array(n).fill(0);
const box = (name, ...parts) => {
  const body = parts.flat();
  return [...u32(body.length + 8), ...[...name].map((c) => c.charCodeAt(0)), ...body];
};
const MATRIX = [1, 0, 0, 0, 1, 0, 0, 0, 0x4000].flatMap((n, i) => u32(i === 8 ? 0x40000000 : n * 0x10000));

/** What a source buffer wants first. */
export function beginning({ rate, channels }) {
  const info = [...u16(BLOCK), ...u16(BLOCK), ...zeros(6), (rate >> 12) & 0xff, (rate >> 4) & 0xff,
    ((rate & 15) << 4) | ((channels - 1) << 1), 0xf0, ...zeros(4), ...zeros(16)];
  const entry = box("fLaC", zeros(6), u16(1), zeros(8), u16(channels), u16(16), zeros(4), u16(rate > 0xffff ? 0 : rate), u16(0),
    box("dfLa", zeros(4), [0x80, 0, 0, 34], info));
  const table = box("stbl", box("stsd", zeros(4), u32(1), entry), box("stts", zeros(8)), box("stsc", zeros(8)),
    box("stsz", zeros(12)), box("stco", zeros(8)));
  const media = box("mdia",
    box("mdhd", zeros(12), u32(rate), u32(0), [0x55, 0xc4, 0, 0]),
    box("hdlr", zeros(8), [...("soun")].map((c) => c.charCodeAt(0)), zeros(13)),
    box("minf", box("smhd", zeros(8)), box("dinf", box("dref", zeros(4), u32(1), box("url ", [0, 0, 0, 1]))), table));
  const track = box("trak", box("tkhd", [0, 0, 0, 3], zeros(8), u32(1), zeros(8), zeros(8), u16(0), u16(0), [1, 0, 0, 0], MATRIX, zeros(8)), media);
  return new Uint8Array([
    ...box("ftyp", [..."iso5"].map((c) => c.charCodeAt(0)), u32(1), [..."iso5mp41"].map((c) => c.charCodeAt(0))),
    ...box("moov",
      box("mvhd", zeros(12), u32(rate), u32(0), [0, 1, 0, 0, 1, 0, 0, 0], zeros(8), MATRIX, zeros(24), u32(2)),
      track,
      box("mvex", box("trex", zeros(4), u32(1), u32(1), zeros(12)))),
  ]);
}

/** Samples that begin at a block's edge, as one segment. */
export function segment(samples, channels, firstBlock, sequence) {
  const frames = [];
  for (let at = 0, n = firstBlock; at < samples.length; at += BLOCK * channels, n++) {
    frames.push({ data: flacFrame(samples.subarray(at, at + BLOCK * channels), channels, n), count: Math.min(BLOCK, (samples.length - at) / channels) });
  }
  const entries = frames.flatMap(({ data, count }) => [...u32(count), ...u32(data.length)]);
  const build = (offset) => box("moof", box("mfhd", zeros(4), u32(sequence)),
    box("traf", box("tfhd", [0, 2, 0, 0], u32(1)), box("tfdt", [1, 0, 0, 0], u64(firstBlock * BLOCK)),
      box("trun", [0, 0, 3, 1], u32(frames.length), u32(offset), entries)));
  const moof = build(build(0).length + 8);
  const size = frames.reduce((sum, { data }) => sum + data.length, 0);
  const out = new Uint8Array(moof.length + 8 + size);
  out.set(moof);
  out.set([...u32(size + 8), 0x6d, 0x64, 0x61, 0x74], moof.length);
  let at = moof.length + 8;
  for (const { data } of frames) {
    out.set(data, at);
    at += data.length;
  }
  return out;
}

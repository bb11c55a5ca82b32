// Plays a WAV by URL with only what is heard fetched: a first piece of 128 KiB, then, once it sounds, a few seconds ahead.
import { BLOCK, TYPE, beginning, segment } from "./flac.js";
import { readHead, toSamples } from "./wav.js";

const FIRST = 128 * 1024; // bytes: four seconds of two telephony channels
const PIECE_S = 5;
const BEFORE_SOUND_S = 2; // at least, and no fewer bytes than the first piece: one more piece, where it does not sound yet
const AHEAD_S = 15;
const BEHIND_S = 90;

/** Somebody else has to play it: no CORS, no Media Source, or no WAV we read. */
export class CannotStream extends Error {}
/** The bucket said no, or nothing. `status` is 0 when there was no answer. */
export class Refused extends Error {
  constructor(status) {
    super(`status ${status}`);
    this.status = status;
  }
}

export class WavStream {
  /** `link(fresh)` gives a URL, another one when `fresh`; `fail(error)` hears what stopped the stream. */
  constructor(audio, size, link, fail) {
    Object.assign(this, { audio, size, link, fail, sequence: 0, pumping: false, closed: false, sounding: false, early: 1, asked: 0 }); // bytes
    this.onSeek = () => {
      this.early = 1;
      this.pump(true);
    };
    this.onTime = () => this.pump(false);
    this.onSound = () => {
      this.sounding = true;
      this.pump(false);
    };
  }

  static get possible() {
    return "MediaSource" in window && MediaSource.isTypeSupported(TYPE);
  }

  /** Attach to the audio element and fetch the first piece. Raises `CannotStream` and `Refused`. */
  async open() {
    if (!WavStream.possible) throw new CannotStream("no Media Source for FLAC");
    this.media = new MediaSource();
    const opened = new Promise((done) => this.media.addEventListener("sourceopen", done, { once: true }));
    this.audio.src = URL.createObjectURL(this.media);
    const first = await this.fetch(0, Math.min(FIRST, this.size) - 1, true);
    this.head = readHead(first, this.size);
    if (!this.head || !this.head.frames) throw new CannotStream("not a WAV that plays here");
    await opened;
    this.buffer = this.media.addSourceBuffer(TYPE);
    this.media.duration = this.head.frames / this.head.rate;
    await this.append(beginning(this.head));
    await this.put(first.subarray(this.head.start), 0, first.length >= this.size);
    this.audio.addEventListener("seeking", this.onSeek);
    this.audio.addEventListener("timeupdate", this.onTime);
    this.audio.addEventListener("waiting", this.onTime);
    this.audio.addEventListener("playing", this.onSound);
    if (this.bufferedEnd(0) >= this.media.duration - 0.01) this.pump(false); // all there: say so
  }

  close() {
    this.closed = true;
    this.abort?.abort();
    for (const name of ["timeupdate", "waiting"]) this.audio.removeEventListener(name, this.onTime);
    this.audio.removeEventListener("seeking", this.onSeek);
    this.audio.removeEventListener("playing", this.onSound);
  }

  /** Fetch what is missing ahead of where the person listens. */
  async pump(jumped) {
    if (jumped) this.abort?.abort();
    if (this.pumping) {
      this.again = true;
      return;
    }
    this.pumping = true;
    try {
      do {
        this.again = false;
        while (!this.closed && (await this.more()));
      } while (this.again && !this.closed);
    } catch (error) {
      if (!this.closed) this.fail(error);
    } finally {
      this.pumping = false;
    }
  }

  async more() {
    const { head, audio } = this;
    const end = this.bufferedEnd(audio.currentTime);
    if (end - audio.currentTime > AHEAD_S) return false;
    const reached = Math.round(end * head.rate);
    const block = Math.floor(reached / BLOCK);
    const from = block * BLOCK;
    if (reached >= head.frames - 1) {
      if (this.media.readyState === "open" && !this.buffer.updating) this.media.endOfStream();
      return false;
    }
    if (!this.sounding && this.early-- <= 0) return false;
    const length = this.sounding ? PIECE_S : Math.max(BEFORE_SOUND_S, FIRST / head.frame / head.rate);
    const blocks = Math.ceil((length * head.rate) / BLOCK);
    const to = Math.min(head.frames, from + blocks * BLOCK);
    let bytes;
    try {
      bytes = await this.fetch(head.start + from * head.frame, head.start + to * head.frame - 1);
    } catch (error) {
      if (error.name === "AbortError") return !this.closed;
      throw error;
    }
    await this.put(bytes, block, to === head.frames);
    return this.bufferedEnd(audio.currentTime) > end; // else the browser took nothing, and would take it no better
  }

  /** Samples into the buffer, whole blocks of them; the rest only where the recording ends. */
  async put(bytes, block, last) {
    const samples = toSamples(bytes, this.head);
    const whole = last ? samples.length : samples.length - (samples.length % (BLOCK * this.head.channels));
    if (whole) await this.append(segment(samples.subarray(0, whole), this.head.channels, block, ++this.sequence));
    const behind = this.audio.currentTime - BEHIND_S;
    if (behind > 0 && this.buffer.buffered.length && this.buffer.buffered.start(0) < behind) {
      await this.updated(() => this.buffer.remove(0, behind));
    }
  }

  append(bytes) {
    return this.updated(() => this.buffer.appendBuffer(bytes));
  }

  updated(change) {
    return new Promise((done, failed) => {
      this.buffer.addEventListener("updateend", done, { once: true });
      this.buffer.addEventListener("error", () => failed(new CannotStream("the browser refused the samples")), { once: true });
      change();
    });
  }

  bufferedEnd(time) {
    const { buffered } = this.buffer;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= time + 0.05 && time < buffered.end(i) + 0.01) return buffered.end(i);
    }
    return Math.max(0, time);
  }

  async fetch(from, to, first = false) {
    for (const fresh of [false, true]) {
      this.asked += to - from + 1;
      this.abort = new AbortController();
      let answer;
      try {
        const url = await this.link(fresh);
        answer = await fetch(url, { headers: { Range: `bytes=${from}-${to}` }, signal: this.abort.signal, referrerPolicy: "no-referrer", credentials: "omit" });
      } catch (error) {
        if (error.name === "AbortError" || error.said) throw error;
        throw first ? new CannotStream("no answer that a page may read") : new Refused(0);
      }
      if (answer.status === 206) return new Uint8Array(await answer.arrayBuffer());
      await answer.body?.cancel();
      if (answer.status === 200) throw new CannotStream("ranges are ignored");
      if (answer.status !== 403 || fresh) throw new Refused(answer.status); // 403: the URL is over; a fresh one may do
    }
  }
}

// <reel-player>: waveform from served peaks, and sound that is fetched when Play is pressed and not before.
import { CannotOpen, open, readKey } from "./opening.js";
import { CannotStream, WavStream } from "./stream.js";
import { peaksOf, readHead } from "./wav.js";

const A_SECOND = 10; // peaks
const QUIET = 10; // of 255, under which nobody speaks
const SILENT_S = 1.2; // of quiet are skipped
const LEAD_S = 0.2; // before the next word
const RENEW_S = 60; // before a URL ends, another is asked for

class ReelPlayer extends HTMLElement {
  connectedCallback() {
    this.audio = new Audio();
    this.audio.preload = "none";
    this.channels = Number(this.getAttribute("channels"));
    this.duration = Number(this.getAttribute("duration"));
    this.opening = JSON.parse(this.getAttribute("opening") ?? "null");
    this.side = "both";
    this.wave = this.querySelector("[data-wave]");
    this.canvas = this.querySelector("canvas");
    this.button = this.querySelector("[data-play]");
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.wave);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    if (!this.opening) this.loadPeaks();
  }

  disconnectedCallback() {
    this.stream?.close();
    this.audio.pause();
    if (this.blobUrl) URL.revokeObjectURL(this.blobUrl);
  }

  listen() {
    this.button.addEventListener("click", () => this.toggle());
    this.wave.addEventListener("pointerdown", (event) => this.drag(event));
    this.wave.addEventListener("keydown", (event) => this.keyed(event));
    this.addEventListener("click", (event) => {
      const chosen = event.target.closest("[data-side], [data-speed], [data-skip]");
      if (chosen) this.choose(chosen);
    });
    this.querySelector("[data-key]")?.addEventListener("change", (event) => this.unlock(event.target));
    for (const name of ["playing", "pause", "ended", "waiting"]) this.audio.addEventListener(name, () => this.shown(name));
    this.audio.addEventListener("seeked", () => this.moved());
    this.audio.addEventListener("error", () => this.broke());
  }

  // --- Playing -------------------------------------------------------------------------------------------------------

  async toggle() {
    if (!this.audio.paused) return this.audio.pause();
    this.hush();
    this.pressed = performance.now();
    this.button.classList.add("busy");
    try {
      if (!this.started) await this.begin();
      if (this.audio.ended) this.audio.currentTime = 0;
      await this.audio.play();
    } catch (error) {
      if (error.name !== "AbortError") this.tell(error);
    } finally {
      this.button.classList.remove("busy");
    }
  }

  /** Find a way to play: a few seconds at a time where that is possible, else as the browser does it. */
  async begin() {
    this.started = true;
    if (this.blobUrl) {
      this.audio.src = this.blobUrl;
      return;
    }
    const wanted = this.wantedTime ?? 0;
    if (this.hasAttribute("plain")) {
      this.plain = true; // passed on from elsewhere: the browser asks for one long part, not for many short ones
      this.audio.src = await this.link(true);
      if (wanted) this.audio.currentTime = wanted;
      return;
    }
    try {
      this.stream = new WavStream(this.audio, Number(this.getAttribute("size")), (fresh) => this.link(fresh), (error) => this.tell(error));
      await this.stream.open();
    } catch (error) {
      this.stream.close();
      this.stream = null;
      if (!(error instanceof CannotStream)) {
        this.started = false;
        throw error;
      }
      this.plain = true;
      this.audio.src = await this.link(true);
    }
    if (wanted) this.audio.currentTime = wanted;
  }

  /** A signed URL, renewed before it ends and whenever the bucket says that it has. */
  async link(fresh) {
    if (fresh || !this.url || this.expires - Date.now() < RENEW_S * 1000) {
      const answer = await this.ask("playback");
      this.url = answer.url;
      this.expires = Date.now() + 3600e3;
      this.renewals = (this.renewals ?? -1) + 1;
      this.countDown();
    }
    return this.url;
  }

  async ask(what) {
    let answer;
    try {
      answer = await fetch(`${this.getAttribute("src")}/${what}`, { headers: { Accept: "application/json" } });
    } catch {
      throw new CannotOpen("callreel does not answer.", "Look at your connection, then press Play again.");
    }
    if (answer.redirected) {
      throw new CannotOpen("You are signed out.", "Sign in again in another tab, then press Play.");
    }
    if (!answer.ok) {
      const said = answer.headers.get("content-type")?.includes("json") ? await answer.json() : { title: "This cannot be played.", words: "" };
      throw Object.assign(new Error(said.title), { said });
    }
    return what === "peaks" ? answer : answer.json();
  }

  async broke() {
    if (!this.audio.error || !this.started) return;
    const at = this.audio.currentTime;
    if (this.plain && !this.retried && at > 0) {
      this.retried = true; // most likely the URL ended
      this.audio.src = await this.link(true);
      this.audio.currentTime = at;
      return this.audio.play();
    }
    this.started = false;
    this.wantedTime = at;
    this.tell(null);
  }

  // --- Opening what is encrypted -------------------------------------------------------------------------------------

  async unlock(input) {
    const file = input.files[0];
    if (!file) return;
    this.hush();
    this.state = "opening";
    try {
      const key = await readKey(await file.slice(0, 65536).text());
      const url = await this.link(false);
      const answer = await fetch(url, { referrerPolicy: "no-referrer", credentials: "omit" }).catch(() => null);
      if (!answer?.ok) throw new CannotOpen("The recording could not be fetched.", "The bucket does not answer this page, or has no CORS rule for it: test the connection in the storage settings.");
      const clear = new Uint8Array(await open(key, this.opening, await answer.arrayBuffer()));
      this.head = readHead(clear, clear.length);
      if (this.blobUrl) URL.revokeObjectURL(this.blobUrl);
      this.blobUrl = URL.createObjectURL(new Blob([clear], { type: "audio/wav" }));
      if (this.head) {
        this.peaks = peaksOf(clear, this.head);
        this.peakChannels = this.head.channels;
      }
      this.started = false;
      this.button.disabled = false;
      this.state = "opened";
      this.querySelector("[data-about] span").textContent = "Opened and checked against its tag. It plays from this page's memory and is forgotten when you leave.";
      this.draw();
      this.button.focus();
    } catch (error) {
      this.state = "closed";
      this.tell(error);
    } finally {
      input.value = "";
    }
  }

  // --- Choices -------------------------------------------------------------------------------------------------------

  choose(button) {
    const { side, speed } = button.dataset;
    if ("skip" in button.dataset) {
      this.skips = !this.skips;
      button.setAttribute("aria-pressed", this.skips);
      return;
    }
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", other === button);
    if (speed) {
      this.audio.playbackRate = this.audio.defaultPlaybackRate = Number(speed);
    } else {
      this.side = side;
      this.route();
      this.draw();
    }
  }

  /** One channel goes to both ears; both go to theirs. */
  route() {
    if (this.plain || (this.side === "both" && !this.context)) return;
    if (!this.context) {
      this.context = new AudioContext();
      this.source = this.context.createMediaElementSource(this.audio);
      this.splitter = this.context.createChannelSplitter(2);
    }
    this.context.resume();
    this.source.disconnect();
    this.splitter.disconnect();
    if (this.side === "both") return void this.source.connect(this.context.destination);
    this.source.connect(this.splitter);
    this.splitter.connect(this.context.destination, this.side === "left" ? 0 : 1);
  }

  // --- Where we are --------------------------------------------------------------------------------------------------

  get now() {
    return this.started ? this.audio.currentTime : (this.wantedTime ?? 0);
  }

  seek(to) {
    const at = Math.min(Math.max(0, to), Math.max(0, this.duration - 0.01));
    this.wantedTime = at;
    if (this.started) this.audio.currentTime = at;
    this.moved();
  }

  drag(event) {
    const box = this.wave.getBoundingClientRect();
    const go = (moved) => this.seek(((moved.clientX - box.left) / box.width) * this.duration);
    this.wave.setPointerCapture(event.pointerId);
    go(event);
    this.wave.onpointermove = go;
    this.wave.onpointerup = this.wave.onpointercancel = () => (this.wave.onpointermove = null);
  }

  keyed(event) {
    const steps = { ArrowLeft: -5, ArrowRight: 5, PageDown: -60, PageUp: 60 };
    if (event.key in steps) this.seek(this.now + steps[event.key]);
    else if (event.key === "Home") this.seek(0);
    else if (event.key === "End") this.seek(this.duration);
    else if (event.key === " ") this.toggle();
    else return;
    event.preventDefault();
  }

  shown(name) {
    const on = !this.audio.paused && name !== "ended";
    this.button.classList.toggle("on", on);
    this.button.setAttribute("aria-label", on ? "Pause" : "Play");
    this.state = name;
    if (name === "playing" && this.pressed) {
      this.dataset.firstSoundBytes = this.stream?.asked ?? "";
      this.dataset.firstSoundMs = (performance.now() - this.pressed).toFixed(1);
      this.pressed = null;
    }
    cancelAnimationFrame(this.frame);
    if (on) this.follow();
    else this.moved();
  }

  follow() {
    this.moved();
    if (this.skips) this.skipSilence();
    this.frame = requestAnimationFrame(() => this.follow());
  }

  skipSilence() {
    if (!this.peaks || this.audio.seeking) return;
    const from = Math.floor(this.audio.currentTime * A_SECOND);
    const count = this.peaks.length / this.peakChannels;
    let to = from;
    while (to < count && this.loudest(to) < QUIET) to++;
    if (to - from > SILENT_S * A_SECOND) this.seek(to / A_SECOND - LEAD_S);
  }

  loudest(tenth) {
    const at = tenth * this.peakChannels;
    if (this.peakChannels === 1) return this.peaks[at];
    if (this.side !== "both") return this.peaks[at + (this.side === "left" ? 0 : 1)];
    return Math.max(this.peaks[at], this.peaks[at + 1]);
  }

  moved() {
    const text = clock(this.now);
    if (text !== this.saidTime) {
      this.saidTime = text;
      this.querySelector("[data-now]").textContent = text;
      this.wave.setAttribute("aria-valuenow", Math.round(this.now));
      this.wave.setAttribute("aria-valuetext", text);
    }
    this.draw();
  }

  countDown() {
    clearInterval(this.counting);
    const left = this.querySelector("[data-left]");
    if (!left) return;
    const tell = () => (left.textContent = `, valid for another ${clock((this.expires - Date.now()) / 1000)} and renewed while you listen`);
    tell();
    this.counting = setInterval(tell, 1000);
  }

  // --- What is seen --------------------------------------------------------------------------------------------------

  async loadPeaks() {
    if (this.hasAttribute("plain")) return;
    try {
      const answer = await this.ask("peaks");
      this.peakChannels = Number(answer.headers.get("x-channels"));
      this.peaks = new Uint8Array(await answer.arrayBuffer());
      this.dataset.peaks = this.peaks.length;
      this.draw();
    } catch (error) {
      this.tell(error);
    }
  }

  /** What reaches the edge of its lane: a quiet recording is drawn as large as a loud one, silence is not. */
  scale() {
    if (this.measured !== this.peaks) {
      this.measured = this.peaks;
      this.top = Math.max(24, this.peaks ? this.peaks.reduce((most, peak) => Math.max(most, peak), 0) : 255);
    }
    return this.top;
  }

  draw() {
    const { canvas, wave } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [wave.clientWidth, wave.clientHeight];
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const lanes = this.peakChannels || this.channels;
    const played = this.duration ? this.now / this.duration : 0;
    const bars = Math.floor(width / 4);
    const count = this.peaks ? this.peaks.length / lanes : 0;
    const top = this.scale();
    for (let lane = 0; lane < lanes; lane++) {
      const muted = this.side !== "both" && lanes === 2 && lane !== (this.side === "left" ? 0 : 1);
      pen.fillStyle = colour(lane ? "--teal-dot" : "--accent");
      const middle = (height * (lane + 0.5)) / lanes;
      const room = height / lanes - 26;
      for (let bar = 0; bar < bars; bar++) {
        const [from, to] = [Math.floor((bar * count) / bars), Math.max(Math.floor(((bar + 1) * count) / bars), Math.floor((bar * count) / bars) + 1)];
        let loud = 0;
        for (let i = from; i < to && i < count; i++) loud = Math.max(loud, this.peaks[i * lanes + lane]);
        const tall = Math.max(2, Math.min(1, loud / top) ** 0.75 * room);
        pen.globalAlpha = muted ? 0.12 : bar / bars < played ? 1 : 0.34;
        pen.beginPath();
        pen.roundRect(bar * 4 + 1, middle - tall / 2, 2.4, tall, 1.2);
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
    if (lanes === 2) {
      pen.fillStyle = colour("--line");
      pen.fillRect(0, height / 2, width, 1);
    }
    if (!this.now) return;
    pen.fillStyle = colour("--ink");
    pen.fillRect(width * played, 0, 1.5, height);
    pen.beginPath();
    pen.arc(width * played + 0.7, 5, 4.5, 0, 7);
    pen.fill();
  }

  /** Say what happened, and leave everything as it was. */
  tell(error) {
    const said = error?.said ?? {
      title: "The bucket is away.",
      words: "It stopped answering while the recording was played. Nothing is lost: press Play to try again from here.",
      kind: "warn",
    };
    this.wantedTime = this.now;
    if (!error?.said) {
      this.stream?.close();
      this.stream = null;
      this.started = false;
      this.url = null;
    }
    this.audio.pause();
    this.state = "trouble";
    const box = this.querySelector("[data-trouble]");
    box.className = `note ${said.kind ?? "warn"}`;
    const words = box.querySelector("span");
    words.textContent = "";
    const title = document.createElement("b");
    title.textContent = said.title;
    words.append(title, ` ${said.words}`);
    box.hidden = false;
  }

  hush() {
    this.querySelector("[data-trouble]").hidden = true;
  }

  set state(name) {
    this.dataset.state = name;
  }
}

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

customElements.define("reel-player", ReelPlayer);

/** Pictures and short films of what is seen, with its background and labels. */
export interface Scenery {
  /** The WebGL canvas, drawn just now. */
  canvas: HTMLCanvasElement;
  /** Colours of the background from its middle outwards. */
  background: string[];
  /** Labels with their place in CSS pixels. */
  labels: HTMLElement[];
  /** Size of the picture in CSS pixels. */
  width: number;
  height: number;
}

/** Paint the picture into a plain canvas of the same number of pixels. */
export function compose(target: HTMLCanvasElement, scenery: Scenery): void {
  const { canvas, background, labels, width, height } = scenery;
  if (target.width !== canvas.width || target.height !== canvas.height) {
    target.width = canvas.width;
    target.height = canvas.height;
  }
  const draw = target.getContext("2d");
  if (!draw) throw new Error("this browser offers no 2D canvas");
  const gradient = draw.createRadialGradient(target.width / 2, target.height * 0.35, 0, target.width / 2, target.height * 0.35, target.width * 0.72);
  background.forEach((color, i) => gradient.addColorStop(background.length > 1 ? i / (background.length - 1) : 0, color));
  draw.fillStyle = gradient;
  draw.fillRect(0, 0, target.width, target.height);
  draw.drawImage(canvas, 0, 0);
  const origin = labels[0]?.parentElement?.getBoundingClientRect();
  if (!origin) return;
  draw.save();
  draw.scale(target.width / width, target.height / height);
  for (const label of labels) paintLabel(draw, label, origin);
  draw.restore();
}

function paintLabel(draw: CanvasRenderingContext2D, label: HTMLElement, origin: DOMRect): void {
  const style = getComputedStyle(label);
  if (style.visibility === "hidden" || style.display === "none") return;
  const box = label.getBoundingClientRect();
  const [x, y] = [box.left - origin.left, box.top - origin.top];
  draw.fillStyle = style.backgroundColor;
  draw.beginPath();
  draw.roundRect(x, y, box.width, box.height, box.height / 2);
  draw.fill();
  const dot = label.querySelector("i");
  let left = x + 9;
  if (dot) {
    draw.fillStyle = getComputedStyle(dot).backgroundColor;
    draw.beginPath();
    draw.arc(left + 3, y + box.height / 2, 4, 0, 2 * Math.PI);
    draw.fill();
    left += 13;
  }
  draw.fillStyle = style.color;
  draw.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
  draw.textBaseline = "middle";
  draw.fillText([...label.childNodes].map((n) => n.textContent ?? "").filter(Boolean).join("  "), left, y + box.height / 2 + 0.5);
}

export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** "packaging_line 2026-11-25 14.03.22" of a stage: a name for a file. */
export function fileStem(stage: string, now: Date): string {
  const words = stage.split("/").filter((w) => w && !/^scene\.usd/.test(w));
  const name = (words.at(-1) ?? "twin").replace(/\.usd[acz]?$/, "");
  const two = (n: number) => String(n).padStart(2, "0");
  return `${name} ${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())} ${two(now.getHours())}.${two(now.getMinutes())}.${two(now.getSeconds())}`;
}

const TYPES = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const FILM_FPS = 25;
const BITS_PER_SECOND = 8_000_000;

/** A film of a canvas that is painted anew for every picture. */
export class Recorder {
  readonly canvas = document.createElement("canvas");
  private readonly recorder: MediaRecorder;
  private readonly parts: Blob[] = [];

  constructor() {
    const type = typeof MediaRecorder === "undefined" ? undefined : TYPES.find((t) => MediaRecorder.isTypeSupported(t));
    if (!type) throw new Error("this browser records no films");
    this.canvas.width = 2;
    this.canvas.height = 2;
    this.recorder = new MediaRecorder(this.canvas.captureStream(FILM_FPS), { mimeType: type, videoBitsPerSecond: BITS_PER_SECOND });
    this.recorder.ondataavailable = (event) => this.parts.push(event.data);
  }

  start(): void {
    this.recorder.start(1000);
  }

  get extension(): string {
    return this.recorder.mimeType.includes("mp4") ? "mp4" : "webm";
  }

  /** What has been filmed. */
  get bytes(): number {
    return this.parts.reduce((n, part) => n + part.size, 0);
  }

  /** End it; the film. Rejected where it was too short to hold a picture. */
  stop(): Promise<Blob> {
    return new Promise((resolve, reject) => {
      this.recorder.onstop = () => {
        if (this.bytes > 0) resolve(new Blob(this.parts, { type: this.recorder.mimeType.split(";")[0] }));
        else reject(new Error("it was too short"));
      };
      this.recorder.stop();
    });
  }
}

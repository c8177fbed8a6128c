// The camera: frames are posted one after the other, never faster than RATE, slower when the service asks for it.

import { photo } from "./service.js";

const RATE = 4;
const SIDE = 480;

export class Camera {
  // onAnswer(document), onTrouble(message)
  constructor(video, onAnswer, onTrouble) {
    this.video = video;
    this.onAnswer = onAnswer;
    this.onTrouble = onTrouble;
    this.going = false;
  }

  async open() {
    if (!navigator.mediaDevices) throw new Error("browsers give the camera to pages on localhost or https only");
    this.stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
    return this.stream;
  }

  async run() {
    this.going = true;
    this.abort = new AbortController();
    const canvas = document.createElement("canvas");
    while (this.going) {
      const began = performance.now();
      let pause = 0;
      try {
        const blob = await this.grab(canvas);
        if (blob && this.going) {
          const answer = await photo(blob, { faces: "fast" }, this.abort.signal);
          if (this.going) this.onAnswer(answer);
        }
      } catch (error) {
        if (!this.going) return;
        pause = 1000 * (error.retryAfter ?? 1);
        this.onTrouble(error.message);
      }
      const left = 1000 / RATE - (performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, Math.max(left, pause, 0)));
    }
  }

  grab(canvas) {
    const { videoWidth: width, videoHeight: height } = this.video;
    // a hidden page is not asked about
    if (!width || document.hidden) return Promise.resolve(null);
    const factor = Math.min(SIDE / Math.max(width, height), 1);
    canvas.width = Math.round(width * factor);
    canvas.height = Math.round(height * factor);
    canvas.getContext("2d").drawImage(this.video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
  }

  close() {
    this.going = false;
    this.abort?.abort();
    this.stream?.getTracks().forEach((track) => track.stop());
  }
}

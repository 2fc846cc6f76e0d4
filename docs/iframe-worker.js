// SPDX-License-Identifier: GPL-3.0-or-later
// A browser starts no Worker from a page that was opened as a file. Here its script runs in a hidden frame instead, so
// that the search works without a server. mkdocs.yml names this file; its name keeps the theme from loading another one.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.appendChild(frame); // about:blank: of this page's origin
      const inside = frame.contentWindow;
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      this.started = new Promise((resolve, reject) => {
        const script = inside.document.createElement("script");
        Object.assign(script, { src: new URL(url, location.href).href, onload: () => resolve(inside), onerror: reject });
        inside.document.body.appendChild(script);
      });
    }

    postMessage(data) {
      this.started.then((inside) => inside.dispatchEvent(new inside.MessageEvent("message", { data })));
    }
  };
}

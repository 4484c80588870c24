import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { renderHtml } from "../../../src/benchmark/report/index.js";
import { sampleResult } from "./sample-result.js";

const CHROMIUM = "/usr/bin/chromium";
const QUIET = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];
const reason = existsSync(CHROMIUM) ? "" : ` (skipped: no ${CHROMIUM})`;

/** Reports what goes wrong in the page into the page, where --dump-dom shows it. */
const WATCH = `<script>
window.addEventListener("error", (event) => document.documentElement.setAttribute("data-error", event.message));
document.addEventListener("securitypolicyviolation", (event) => document.documentElement.setAttribute("data-error", event.blockedURI));
</script>`;

describe.skipIf(reason !== "")(`the report page in Chromium${reason}`, () => {
  it("runs without an error, requests nothing, fits a narrow screen", async () => {
    const requests: string[] = [];
    const page = renderHtml(sampleResult(4)).replace("<head>", `<head>${WATCH}`);
    const server = createServer((request, response) => {
      requests.push(request.url ?? "");
      response.setHeader("content-type", "text/html");
      response.end(page);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const folder = await mkdtemp(join(tmpdir(), "podfs-report-"));
    try {
      const { port } = server.address() as AddressInfo;
      const dom = await run(folder, ["--dump-dom", `http://127.0.0.1:${port}/`]);
      expect(/<html[^>]*data-error[^>]*>/.exec(dom)).toBeNull();
      // The script has run: it copies the result to where people can see it.
      expect(dom.includes(`<pre id="raw" tabindex="0">{\n  "formatVersion": 1`)).toBe(true);
      expect(requests).toEqual(["/"]);
      const probe = join(folder, "probe.html");
      await writeFile(probe, page.replace("</body>", `<script>document.title = ${WIDTHS};</script></body>`));
      const [content, window] =
        /<title>(\d+) (\d+)</.exec(await run(folder, ["--dump-dom", `file://${probe}`]))?.slice(1) ?? [];
      expect(Number(content)).toBeLessThanOrEqual(Number(window));
    } finally {
      server.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

const WIDTHS = `document.documentElement.scrollWidth + " " + innerWidth`;

async function run(folder: string, args: readonly string[]): Promise<string> {
  const profile = [`--user-data-dir=${join(folder, "profile")}`, "--window-size=500,900"];
  const { stdout } = await promisify(execFile)(CHROMIUM, [...QUIET, ...profile, ...args], { maxBuffer: 64 << 20 });
  return stdout;
}

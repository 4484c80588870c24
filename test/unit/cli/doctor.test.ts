import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Finding } from "../../../src/cli/doctor/finding.js";
import { hasCapability, parseStatus } from "../../../src/cli/doctor/mount-checks.js";
import { renderFindings } from "../../../src/cli/doctor/render-findings.js";
import { run } from "./run.js";

const CHECKS = [
  ...["Node.js", "kernel", "native engine", "/dev/fuse", "right to mount", "fusermount3", "passthrough"],
  ...["cache directory", "reflink", "O_DIRECT", "io_uring", "memlock", "seccomp", "GPU driver", "staging"],
];

describe("doctor", () => {
  test("looks at everything, says what follows, and how to fix what fails", async () => {
    const { exitCode, stdout } = await run("doctor", "--json", "--cache-dir", join(tmpdir(), "podfs-none", "cache"));
    const { works, findings } = JSON.parse(stdout) as { works: boolean; findings: Finding[] };
    expect(findings.map(({ check }) => check)).toEqual(CHECKS);
    for (const finding of findings) {
      expect(finding.found).not.toBe("");
      expect(finding.follows).toMatch(/\.$/);
      if (finding.verdict === "fail") expect(finding.fix).toBeDefined();
    }
    expect(works).toBe(findings.every(({ verdict }) => verdict !== "fail"));
    expect(exitCode).toBe(works ? 0 : 1);
  });

  test("leaves nothing behind", async () => {
    const directory = await mkdtemp(join(tmpdir(), "podfs-cli-"));
    try {
      await run("doctor", "--cache-dir", directory);
      expect(await readdir(directory)).toEqual([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe("the report", () => {
  const findings: Finding[] = [
    { check: "kernel", verdict: "ok", found: "Linux 6.18", follows: "Has FUSE passthrough." },
    {
      check: "cache directory",
      verdict: "warn",
      found: "/cache on tmpfs",
      follows: "The cache takes memory from your programs.",
      fix: "name a directory on the pod's own disk with --cache-dir.",
    },
  ];

  test("is aligned and wrapped", () => {
    expect(renderFindings(findings, 60)).toBe(`ok    kernel           Linux 6.18. Has FUSE passthrough.
warn  cache directory  /cache on tmpfs. The cache takes
                       memory from your programs.
                       Fix: name a directory on the pod's
                       own disk with --cache-dir.

podfs works here; what is marked "warn" (1) makes it slower or leaves something out.
`);
  });

  test("ends with what it comes to", () => {
    expect(renderFindings(findings.slice(0, 1), 80)).toMatch(/\npodfs works here, with everything it has\.\n$/);
    const failed: Finding = { check: "/dev/fuse", verdict: "fail", found: "none", follows: "No mount." };
    expect(renderFindings([failed], 80)).toMatch(/\npodfs cannot mount here until .* is fixed \(1\)\.\n$/);
  });
});

describe("/proc/self/status", () => {
  test("is read, capabilities too", () => {
    const status = parseStatus("Name:\tnode\nCapEff:\t0000000000200000\nSeccomp:\t2\n");
    expect(status.get("Seccomp")).toBe("2");
    expect(hasCapability(status.get("CapEff"), 21)).toBe(true);
    expect(hasCapability(status.get("CapEff"), 14)).toBe(false);
    expect(hasCapability(undefined, 21)).toBe(false);
  });
});

import { release } from "node:os";
import type { Command } from "commander";
import { PODFS_VERSION } from "../config/index.js";

const EXAMPLES = `
Examples:
  podfs version
  podfs version --json`;

export function setUpVersion(program: Command): void {
  program
    .command("version")
    .description("print the versions of podfs and of what it runs on")
    .option("--json", "print as JSON")
    .addHelpText("after", EXAMPLES)
    .action((flags: { readonly json?: boolean }) => {
      const versions = { podfs: PODFS_VERSION, node: process.versions.node, kernel: release() };
      process.stdout.write(
        flags.json === true
          ? `${JSON.stringify(versions)}\n`
          : `podfs ${versions.podfs} (Node.js ${versions.node}, Linux ${versions.kernel})\n`,
      );
    });
}

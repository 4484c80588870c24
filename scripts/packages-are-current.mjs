/**
 * Exits with 0 if node_modules holds what package-lock.json says. By content: modification times differ between
 * clones, and an installation that is not needed changes node_modules under whoever runs.
 */
import { readFileSync } from "node:fs";

function packagesOf(lockfile) {
  try {
    return JSON.parse(readFileSync(new URL(`../${lockfile}`, import.meta.url), "utf8")).packages;
  } catch {
    return {};
  }
}

const wanted = packagesOf("package-lock.json");
const installed = packagesOf("node_modules/.package-lock.json");
const isCurrent = Object.entries(wanted).every(
  ([path, { version, optional, devOptional }]) =>
    // The project itself is not in node_modules; optional packages are there only on the systems they are for.
    path === "" ||
    (installed[path] === undefined ? optional === true || devOptional === true : installed[path].version === version),
);
process.exit(isCurrent && Object.keys(installed).length > 0 ? 0 : 1);

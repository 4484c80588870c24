/** Entry of the command line. Nothing is loaded before the version of Node is known to be able to run it. */
// `podfs status | head` closes our output early, which is nobody's mistake.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`podfs: needs Node.js 20.19 or newer, this is ${process.version} (${process.execPath})\n`);
  process.exitCode = 1;
} else {
  const { runProgram } = await import("./program.js");
  process.exitCode = await runProgram(process.argv.slice(2));
}

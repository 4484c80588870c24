import pino from "pino";
import pretty from "pino-pretty";

/**
 * The daemon's log: JSON lines in a private file; in the foreground, readable lines on the terminal as well.
 * Options never hold secrets (credentials come from the AWS SDK's chain), so objects can be logged as they are.
 */
export function createLogger(path: string, foreground: boolean): pino.Logger {
  const streams: pino.StreamEntry[] = [
    { stream: pino.destination({ dest: path, append: true, mode: 0o600, sync: false }) },
  ];
  if (foreground) {
    streams.push({
      stream: pretty({ destination: 2, colorize: process.stderr.isTTY, ignore: "pid,hostname", sync: true }),
    });
  }
  return pino({ name: "podfs", level: process.env.PODFS_DEBUG === "1" ? "debug" : "info" }, pino.multistream(streams));
}

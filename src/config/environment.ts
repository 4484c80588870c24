import { homedir, hostname } from "node:os";

/** What the options depend on besides themselves; a value, so that tests can be any user on any machine. */
export interface Environment {
  readonly variables: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  readonly home: string;
  readonly hostname: string;
  readonly workingDirectory: string;
}

/** The environment of this process. */
export function processEnvironment(): Environment {
  return {
    variables: process.env,
    uid: process.getuid?.() ?? 0,
    home: homedir(),
    hostname: hostname(),
    workingDirectory: process.cwd(),
  };
}

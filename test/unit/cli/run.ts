import { vi } from "vitest";
import { runProgram } from "../../../src/cli/program.js";

export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line in this process and collects what it prints. */
export async function run(...args: string[]): Promise<Outcome> {
  const printed = { stdout: "", stderr: "" };
  const spies = (["stdout", "stderr"] as const).map((stream) =>
    vi.spyOn(process[stream], "write").mockImplementation((text: unknown) => {
      printed[stream] += String(text);
      return true;
    }),
  );
  try {
    const exitCode = await runProgram(args);
    return { exitCode, ...printed };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PROJECT, run } from "./commands.mjs";

const PROGRAM = join(PROJECT, "bench/support/checkpoint-client.py");
const PACKAGE = join(PROJECT, "python/src");
const INTERPRETER = process.env.PODFS_PYTHON ?? join(PROJECT, "build/python/bin/python");

/** Why there is no Python with PyTorch; undefined when there is. */
export async function pythonObstacle() {
  if (process.env.PODFS_PYTHON === undefined && !existsSync(INTERPRETER))
    return "no build/python: sh scripts/setup-torch.sh";
  return await run(INTERPRETER, ["-c", "import torch, safetensors.torch"]).then(
    () => undefined,
    (error) => error.message,
  );
}

/** A training process: see checkpoint-client.py. It ends with its workspace. */
export class CheckpointClient {
  #child;
  #answers;

  constructor(child) {
    this.#child = child;
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  static async start(workspace) {
    const child = spawn(INTERPRETER, [PROGRAM, PACKAGE], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...workspace.environment, PYTHONDONTWRITEBYTECODE: "1" },
    });
    const client = new CheckpointClient(child);
    // Before the mount goes: it has files of it open.
    workspace.onDispose(client, async () => void child.kill("SIGKILL"));
    return client;
  }

  /** One request at a time. @throws Error in the words of the client */
  async ask(action, request) {
    this.#child.stdin.write(`${JSON.stringify({ do: action, ...request })}\n`);
    const { value, done } = await this.#answers.next();
    if (done) throw new Error("the training process has ended");
    const answer = JSON.parse(value);
    if (answer.error !== undefined) throw new Error(`${action}: ${answer.error}`);
    return answer;
  }
}

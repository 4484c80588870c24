import type { Protection } from "./payload-hash.js";

/** Which large bodies are signed: all; those sent before the server has shown that it checks them; none. */
export type Signing = "always" | "until-checked" | "never";

type Standing = "untried" | "taken" | "refused";

/**
 * How the large bodies for one server are protected, learnt from its answers.
 *
 * TLS protects a body on its way, so over TLS none is signed, as the AWS CLI has it: SHA-256 is a third of what sending a pack costs, and
 * as much again for the server. Over plain HTTP bodies are signed until the server has told the CRC-32 of one in its answer, so that
 * it does compute it. From then on that guards them, as it does for mountpoint-s3; the header with it is signed. What this gives
 * up is in docs/decisions/0009.
 */
export class PayloadProtection {
  readonly #signing: Signing;
  #checksums: Standing = "untried";
  /** Whether the server's last answer told the checksum that it was sent. */
  #isChecking: boolean;
  #unsigned: Standing;

  /** @param isChecking whether somebody has seen that the server checks bodies */
  constructor(signing: Signing, isChecking = false) {
    this.#signing = signing;
    this.#isChecking = isChecking;
    this.#unsigned = signing === "never" ? "taken" : "untried";
  }

  /** Whether it depends on the server's answers what is signed. */
  get isLearning(): boolean {
    return this.#signing === "until-checked";
  }

  get isChecking(): boolean {
    return this.#isChecking;
  }

  /** For the next body. */
  get current(): Protection {
    const hasChecksum = this.#checksums !== "refused";
    return { hasChecksum, isSigned: this.#isSigned(hasChecksum) };
  }

  /**
   * The server has taken a body.
   * @param isChecked whether its answer had the checksum that was sent
   * @returns whether the body was protected. One that was not signed is not if another server answers now, which checks nothing.
   */
  accepted({ hasChecksum, isSigned }: Protection, isChecked: boolean): boolean {
    if (hasChecksum) this.#checksums = "taken";
    this.#isChecking = isChecked;
    if (!isSigned) this.#unsigned = "taken";
    return isSigned || isChecked || this.#signing === "never";
  }

  /** How to send a body again that failed; undefined when the server has taken others sent like this. */
  insteadOf({ hasChecksum, isSigned }: Protection): Protection | undefined {
    const mayHaveToBeSigned = this.#unsigned !== "taken" || (this.#signing !== "never" && !this.#isChecking);
    if (!isSigned && mayHaveToBeSigned) return { hasChecksum, isSigned: true };
    if (hasChecksum && this.#checksums !== "taken") return { hasChecksum: false, isSigned };
    return undefined;
  }

  /** The body was taken as {@link insteadOf} had it. */
  acceptedInstead({ hasChecksum, isSigned }: Protection, instead: Protection): void {
    if (isSigned !== instead.isSigned && this.#unsigned === "untried") this.#unsigned = "refused";
    if (hasChecksum !== instead.hasChecksum && this.#checksums === "untried") this.#checksums = "refused";
  }

  #isSigned(hasChecksum: boolean): boolean {
    if (this.#signing !== "until-checked") return this.#signing === "always";
    return !(hasChecksum && this.#isChecking) || this.#unsigned === "refused";
  }
}

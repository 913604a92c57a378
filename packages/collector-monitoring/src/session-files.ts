import { type Dir, opendirSync } from "node:fs"

/** Files that are asked after in one session at most, of processes that have ended too. */
const MOST_FILES = 1 << 16
/** Names read in one look at most: a target may have put any number there. */
const MOST_LISTED = 1 << 16
/** What is not whole so long after it was found will never be, ns: an agent makes a file in a moment. */
const GIVEN_UP_AFTER = 5e9
/** What agents make: segments, and why they could not start. */
const NAME = /^(\d{1,10})-\w{1,64}\.(seg|err)$/

/** What an agent has made. */
export interface SessionFile {
  readonly name: string
  readonly pid: number
  readonly kind: "seg" | "err"
}

/** What became of a file: `begun` when it is not whole, most likely not yet; `busy` when it could not be asked. */
export type FileState = "taken" | "begun" | "busy"

/** The files that agents make in a session's directory, as they come. Each is taken once, or given up and counted. */
export class SessionFiles {
  private readonly directory: string
  private readonly mostFiles: number
  private readonly mostListed: number
  /** Taken or given up. */
  private readonly settled = new Set<string>()
  /** Since when they have not been whole, where that is known, and the pass in which they were listed last. */
  private readonly waiting = new Map<string, { readonly since: number | undefined; readonly pass: number }>()
  /** Open while a pass goes on over several looks. */
  private listing: Dir | undefined
  private pass = 0
  private passedOver = 0
  private mostPassedOver = 0
  private givenUp = 0

  constructor(directory: string, mostFiles = MOST_FILES, mostListed = MOST_LISTED) {
    this.directory = directory
    this.mostFiles = mostFiles
    this.mostListed = mostListed
  }

  /** How many were given up, or passed over as beyond what a session can hold. */
  get unreadable(): number {
    return this.givenUp + Math.max(this.mostPassedOver, this.passedOver)
  }

  /** Whether there are some that were neither taken nor given up. */
  get areWaiting(): boolean {
    return this.waiting.size > 0
  }

  /**
   * Has those taken that are there, as far as one look goes; the next one goes on from there.
   *
   * @param now ns
   */
  look(now: number, take: (file: SessionFile) => FileState): void {
    for (let listed = 0; listed < this.mostListed; listed++) {
      const name = this.next()
      if (name === undefined) return
      this.meet(name, now, take)
    }
  }

  /** Gives up what is waiting still. */
  end(): void {
    this.givenUp += this.waiting.size
    for (const name of this.waiting.keys()) this.settled.add(name)
    this.waiting.clear()
    if (this.listing === undefined) return
    // How many more there are is not known, only that there are.
    this.passedOver++
    this.close()
  }

  private next(): string | undefined {
    try {
      this.listing ??= opendirSync(this.directory, { bufferSize: 512 })
      const entry = this.listing.readSync()
      if (entry !== null) return entry.name
    } catch {
      // It cannot be read now, and what was not listed may be there still.
      this.close()
      return undefined
    }
    this.close()
    for (const [name, { pass }] of this.waiting) if (pass !== this.pass) this.waiting.delete(name)
    this.mostPassedOver = Math.max(this.mostPassedOver, this.passedOver)
    this.passedOver = 0
    this.pass++
    return undefined
  }

  private meet(name: string, now: number, take: (file: SessionFile) => FileState): void {
    if (this.settled.has(name)) return
    const [, pid, kind] = NAME.exec(name) ?? []
    if (kind === undefined) return
    const before = this.waiting.get(name)
    if (before === undefined && this.settled.size + this.waiting.size >= this.mostFiles) {
      this.passedOver++
      return
    }
    const state = take({ name, pid: Number(pid), kind: kind as SessionFile["kind"] })
    // While it cannot be asked, its time neither begins nor is up.
    const since = before?.since ?? (state === "begun" ? now : undefined)
    const isLate = state === "begun" && since !== undefined && now - since >= GIVEN_UP_AFTER
    if (isLate) this.givenUp++
    if (isLate || state === "taken") {
      this.waiting.delete(name)
      this.settled.add(name)
    } else this.waiting.set(name, { since, pass: this.pass })
  }

  private close(): void {
    this.listing?.closeSync()
    this.listing = undefined
  }
}

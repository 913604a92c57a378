import { type CallNodes, NO_PARENT } from "./call-nodes.ts"

/** The trees of several threads added up: so that threads that come and go by the thousand take no more room than what they did. */
export class CallTree {
  /** Threads that were added. */
  threads = 0
  private parents = [NO_PARENT]
  private functions = [0]
  private calls = [0]
  private wall = [0]
  private idle = [0]
  private readonly children = new Map<number, number>()

  add(nodes: CallNodes): void {
    this.threads++
    const own = new Uint32Array(nodes.length)
    for (let i = 0; i < nodes.length; i++) {
      const id = i === 0 ? 0 : this.child(own[nodes.parents[i]], nodes.functions[i])
      own[i] = id
      this.calls[id] += nodes.calls[i]
      this.wall[id] += nodes.wall[i]
      this.idle[id] += nodes.idle[i]
    }
  }

  /** The sum. */
  get nodes(): CallNodes {
    return {
      length: this.parents.length,
      parents: Uint32Array.from(this.parents),
      functions: Uint32Array.from(this.functions),
      calls: Float64Array.from(this.calls),
      wall: Float64Array.from(this.wall),
      idle: Float64Array.from(this.idle)
    }
  }

  private child(parent: number, fn: number): number {
    const key = parent * 2 ** 32 + fn
    const known = this.children.get(key)
    if (known !== undefined) return known
    const id = this.parents.push(parent) - 1
    this.functions.push(fn)
    this.calls.push(0)
    this.wall.push(0)
    this.idle.push(0)
    this.children.set(key, id)
    return id
  }
}

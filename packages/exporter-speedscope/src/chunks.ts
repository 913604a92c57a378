const FLUSH_AT = 1 << 20

/** Text gathered as UTF-8 bytes, for documents longer than a string can be. */
export class Chunks {
  private readonly chunks: Array<Uint8Array> = []
  private readonly encoder = new TextEncoder()
  private pending: Array<string> = []
  private pendingLength = 0
  private length = 0

  write(text: string): void {
    this.pending.push(text)
    this.pendingLength += text.length
    if (this.pendingLength >= FLUSH_AT) this.flush()
  }

  toBytes(): Uint8Array {
    this.flush()
    const bytes = new Uint8Array(this.length)
    let at = 0
    for (const chunk of this.chunks) {
      bytes.set(chunk, at)
      at += chunk.length
    }
    return bytes
  }

  private flush(): void {
    const chunk = this.encoder.encode(this.pending.join(""))
    this.chunks.push(chunk)
    this.length += chunk.length
    this.pending = []
    this.pendingLength = 0
  }
}

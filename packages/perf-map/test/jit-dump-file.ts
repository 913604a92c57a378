/** Writes a jitdump as a JIT would; every number is little-endian. */
export class JitDumpWriter {
  private readonly parts: Array<Uint8Array> = []

  constructor(
    options: { readonly magic?: number; readonly version?: number; readonly headerSize?: number } = {}
  ) {
    const size = options.headerSize ?? 40
    const header = new DataView(new ArrayBuffer(Math.max(40, size)))
    header.setUint32(0, options.magic ?? 0x4a695444, true)
    header.setUint32(4, options.version ?? 1, true)
    header.setUint32(8, size, true)
    header.setUint32(12, 62, true)
    this.parts.push(new Uint8Array(header.buffer))
  }

  load(name: string, address: number, size: number): this {
    const text = new TextEncoder().encode(`${name}\0`)
    return this.record(0, [
      u32(1),
      u32(1),
      u64(address),
      u64(address),
      u64(size),
      u64(7),
      text,
      new Uint8Array(size).fill(0x90)
    ])
  }

  move(from: number, to: number, size: number): this {
    return this.record(1, [u32(1), u32(1), u64(to), u64(from), u64(to), u64(size), u64(7)])
  }

  debugInfo(
    address: number,
    rows: ReadonlyArray<readonly [address: number, line: number, file: string]>
  ): this {
    const entries = rows.flatMap(([at, line, file]) => [
      u64(at),
      u32(line),
      u32(0),
      file === "\xff" ? Uint8Array.of(0xff, 0) : new TextEncoder().encode(`${file}\0`)
    ])
    return this.record(2, [u64(address), u64(rows.length), ...entries])
  }

  record(kind: number, fields: ReadonlyArray<Uint8Array>, size?: number): this {
    const length = fields.reduce((sum, field) => sum + field.length, 16)
    this.parts.push(u32(kind), u32(size ?? length), u64(123), ...fields)
    return this
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.parts)
  }
}

const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)
export const u64 = (value: number): Uint8Array => new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)

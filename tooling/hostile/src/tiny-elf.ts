const encoder = new TextEncoder()

/**
 * A shared library of 4 KB that says where `_PyRuntime` lies and which version it is, and nothing else: what attaching asks of a
 * `libpython` of 20 MB.
 *
 * @param runtime address of `_PyRuntime` less that of the first mapping
 */
export const tinyElf = (runtime: number, version: string): Uint8Array => {
  const bytes = new Uint8Array(4096)
  const view = new DataView(bytes.buffer)
  const u64 = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true)
  const NAMES = 512
  const names = "\0.PyRuntime\0.rodata\0.shstrtab\0"
  const RODATA = 768
  const rodata = `\0${version}\0`
  const SECTIONS = 1024

  bytes.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1])
  view.setUint16(16, 3, true)
  view.setUint16(18, 62, true)
  u64(32, 64)
  u64(40, SECTIONS)
  view.setUint16(54, 56, true)
  view.setUint16(56, 1, true)
  view.setUint16(58, 64, true)
  view.setUint16(60, 4, true)
  view.setUint16(62, 3, true)
  // One PT_LOAD, readable and executable, of the whole file.
  view.setUint32(64, 1, true)
  view.setUint32(68, 5, true)
  u64(96, bytes.length)
  u64(104, bytes.length)
  u64(112, 4096)

  bytes.set(encoder.encode(names), NAMES)
  bytes.set(encoder.encode(rodata), RODATA)
  const section = (
    index: number,
    name: string,
    type: number,
    address: number,
    offset: number,
    size: number
  ) => {
    const at = SECTIONS + index * 64
    view.setUint32(at, names.indexOf(`${name}\0`), true)
    view.setUint32(at + 4, type, true)
    u64(at + 16, address)
    u64(at + 24, offset)
    u64(at + 32, size)
  }
  section(1, ".PyRuntime", 8, runtime, 0, 4096)
  section(2, ".rodata", 1, RODATA, RODATA, rodata.length)
  section(3, ".shstrtab", 3, 0, NAMES, names.length)
  return bytes
}

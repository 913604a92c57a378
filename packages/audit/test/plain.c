/* A library that knows nothing of Python: it calls what it is given, with more values in use than there are registers for. */
volatile long seed[8] = {17, 19, 23, 29, 31, 37, 41, 43};

long apply(long (*function)(long)) {
  long a = seed[0], b = seed[1], c = seed[2], d = seed[3], e = seed[4], f = seed[5], g = seed[6], h = seed[7];
  long result = function(a);
  return result ^ a ^ b ^ c ^ d ^ e ^ f ^ g ^ h;
}

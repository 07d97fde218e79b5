/* A libcuda.so.1 without a GPU: device memory is host memory, a launch is a kernel's name and its arguments' bytes. No kernel runs, unless
   Python runs it (fake_run).

   It refuses what a real driver refuses: work before there is a context, memory that it did not give, copies beyond a block's end, a kernel
   that its image lacks, a launch that no card takes, arguments of another size than the kernel's. Every call is counted by its name, and any
   can be told to fail. fake_driver.py is Python's side of it; the end of this file says what Python is given.

   An image may be PTX, which linking leaves as it is: then the layout of a kernel's arguments is known, and an array of pointers to them is
   packed as the driver packs it. Of other images nothing is known but that they were loaded.

     FAKE_CUDA_FAIL        rules "name at times error", with a semicolon between: see fake_fail
     FAKE_CUDA_CAPABILITY  of the device: 90
     FAKE_CUDA_CAPACITY    its memory, in bytes: 80 GB
     FAKE_CUDA_VERSION     of the driver: 13000
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
  UNSUPPORTED_PTX = 222, INVALID_HANDLE = 400, NOT_FOUND = 500
};

typedef uint64_t address;
typedef unsigned int uint;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long number(const char *name, long otherwise) {
  const char *given = getenv(name);
  return given ? atol(given) : otherwise;
}

/* -- calls: counted, and told to fail ------------------------------------------------------------------------------------------ */
enum { CALLS = 512, RULES = 16 };
typedef struct { const char *name; uint64_t count; } Call;
typedef struct { char name[64]; long before, times; int error; } Rule;
static Call calls[CALLS];
static Rule rules[RULES];
static int n_calls, n_rules;

static int same(const char *rule, const char *name) { /* cuMemAlloc is cuMemAlloc_v2 too */
  size_t n = strlen(rule);
  return !strcmp(rule, "*") || (!strncmp(rule, name, n) && (!name[n] || (!strncmp(name + n, "_v", 2) && strlen(name + n) == 3)));
}

static Call *named(const char *name) {
  for (int i = 0; i < n_calls; i++)
    if (!strcmp(calls[i].name, name)) return &calls[i];
  if (n_calls == CALLS) abort();
  calls[n_calls].name = name;
  return &calls[n_calls++];
}

static int enter(Call **known, const char *name) {
  int error = 0;
  pthread_mutex_lock(&lock);
  if (!*known) *known = named(name);
  (*known)->count++;
  for (Rule *r = rules; r < rules + n_rules; r++)
    if (r->times && same(r->name, name) && --r->before < 0) {
      if (r->times > 0) r->times--;
      error = r->error;
    }
  pthread_mutex_unlock(&lock);
  return error;
}

static void note(const char *what) { /* something that has no call of its own */
  pthread_mutex_lock(&lock);
  named(what)->count++;
  pthread_mutex_unlock(&lock);
}

#define COUNTED static Call *known; int error = enter(&known, __func__); if (error) return error
#define CONTEXT COUNTED; if (!current) return INVALID_CONTEXT
#define ACCEPTED(name) int name(void) { COUNTED; return 0; }

/* -- device and context -------------------------------------------------------------------------------------------------------- */
static int primary;
static __thread void *current;

int cuInit(uint flags) { COUNTED; return 0; }
int cuDriverGetVersion(int *version) { COUNTED; *version = number("FAKE_CUDA_VERSION", 13000); return 0; }
int cuDeviceGetCount(int *n) { COUNTED; *n = 1; return 0; }
int cuDeviceGet(int *device, int i) { COUNTED; *device = i; return i ? INVALID_DEVICE : 0; }
int cuDeviceGetName(char *name, int n, int device) { COUNTED; snprintf(name, n, "A device that does nothing"); return 0; }
int cuDeviceGetUuid(char *uuid, int device) { COUNTED; memset(uuid, 7, 16); return 0; }
int cuDeviceGetUuid_v2(char *uuid, int device) { COUNTED; memset(uuid, 7, 16); return 0; }
int cuDeviceComputeCapability(int *major, int *minor, int device) {
  COUNTED;
  long cc = number("FAKE_CUDA_CAPABILITY", 90);
  *major = cc / 10, *minor = cc % 10;
  return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  COUNTED;
  long cc = number("FAKE_CUDA_CAPABILITY", 90);
  switch (attribute) { /* a Hopper card's */
    case 1: case 2: case 3: *value = 1024; break; /* threads of a block, of its axes x and y */
    case 4: *value = 64; break;
    case 5: *value = 2147483647; break; /* blocks of a grid's axes */
    case 6: case 7: *value = 65535; break;
    case 8: *value = 48 << 10; break; /* shared memory of a block, of one that asks for more, of a multiprocessor */
    case 97: *value = 227 << 10; break;
    case 81: *value = 228 << 10; break;
    case 10: *value = 32; break;
    case 12: case 82: *value = 65536; break; /* registers */
    case 16: *value = 132; break;
    case 38: *value = 50 << 20; break; /* second cache */
    case 39: *value = 2048; break;
    case 75: *value = cc / 10; break;
    case 76: *value = cc % 10; break;
    default: *value = 1;
  }
  return 0;
}

int cuDevicePrimaryCtxRetain(void **context, int device) { COUNTED; *context = &primary; return 0; }
int cuDevicePrimaryCtxGetState(int device, uint *flags, int *active) { COUNTED; *flags = 0, *active = 1; return 0; }
ACCEPTED(cuDevicePrimaryCtxRelease)
ACCEPTED(cuDevicePrimaryCtxRelease_v2)
ACCEPTED(cuDevicePrimaryCtxReset)
ACCEPTED(cuDevicePrimaryCtxReset_v2)
ACCEPTED(cuDevicePrimaryCtxSetFlags)
ACCEPTED(cuDevicePrimaryCtxSetFlags_v2)
int cuDeviceCanAccessPeer(int *can, int device, int other) { COUNTED; *can = 0; return 0; }
int cuCtxGetCurrent(void **context) { COUNTED; *context = current; return 0; }
int cuCtxSetCurrent(void *context) { COUNTED; current = context; return 0; }
int cuCtxPushCurrent_v2(void *context) { COUNTED; current = context; return 0; }
int cuCtxPopCurrent_v2(void **context) { COUNTED; *context = current; current = NULL; return 0; }
int cuCtxGetDevice(int *device) { CONTEXT; *device = 0; return 0; }
int cuCtxGetDevice_v2(int *device, void *context) { CONTEXT; *device = 0; return 0; }
int cuCtxGetId(void *context, unsigned long long *id) { COUNTED; *id = 1; return 0; }
int cuCtxGetStreamPriorityRange(int *least, int *greatest) { CONTEXT; *least = 0, *greatest = -5; return 0; }
int cuCtxSynchronize(void) { CONTEXT; return 0; }
int cuCtxSynchronize_v2(void *context) { CONTEXT; return 0; }

/* -- memory -------------------------------------------------------------------------------------------------------------------- */
typedef struct Block { address start; size_t size; int pinned; struct Block *next; void *raw; } Block;
static Block *blocks;
static size_t in_use, peak, capacity;

static Block *holding(address p, size_t n) {
  for (Block *b = blocks; b; b = b->next)
    if (p >= b->start && p + n <= b->start + b->size) return b;
  return NULL;
}

static int holds(address p, size_t n, int pinned) {
  pthread_mutex_lock(&lock);
  Block *b = holding(p, n);
  int found = b && b->pinned == pinned;
  pthread_mutex_unlock(&lock);
  return found;
}

static int take(address *p, size_t n, int pinned) {
  if (!n) return INVALID_VALUE;
  pthread_mutex_lock(&lock);
  int error = !pinned && in_use + n > capacity ? OUT_OF_MEMORY : 0;
  Block *b = error ? NULL : malloc(sizeof *b);
  if (b) {
    void *raw = calloc(n + 512, 1); /* zeros, which cost nothing before they are touched */
    *b = (Block){((address)raw + 511) & ~511ull, n, pinned, blocks, raw};
    blocks = b;
    if (!pinned) in_use += n;
    if (in_use > peak) peak = in_use;
    *p = b->start;
  }
  pthread_mutex_unlock(&lock);
  return error;
}

static int give(address p, int pinned) {
  if (!p) return 0;
  int error = INVALID_VALUE;
  pthread_mutex_lock(&lock);
  for (Block **at = &blocks; *at; at = &(*at)->next) {
    Block *b = *at;
    if (b->start == p && b->pinned == pinned) {
      *at = b->next;
      if (!pinned) in_use -= b->size;
      free(b->raw);
      free(b);
      error = 0;
      break;
    }
  }
  pthread_mutex_unlock(&lock);
  return error;
}

static int copy(void *to, const void *from, size_t n, int device_to, int device_from) {
  if ((device_to && !holds((address)to, n, 0)) || (device_from && !holds((address)from, n, 0))) return INVALID_VALUE;
  memmove(to, from, n);
  return 0;
}

static int hurried(void *to, const void *from, size_t n, int device_to, int device_from) { /* an asynchronous copy */
  if (!(device_to && device_from) && !holds((address)(device_to ? from : to), n, 1)) note("copy of pageable memory");
  return copy(to, from, n, device_to, device_from);
}

int cuDeviceTotalMem_v2(size_t *n, int device) { COUNTED; *n = capacity; return 0; }
int cuMemGetInfo_v2(size_t *left, size_t *total) { CONTEXT; *left = capacity - in_use, *total = capacity; return 0; }
int cuMemAlloc_v2(address *p, size_t n) { CONTEXT; return take(p, n, 0); }
int cuMemAllocAsync(address *p, size_t n, void *stream) { CONTEXT; return take(p, n, 0); }
int cuMemAllocFromPoolAsync(address *p, size_t n, void *pool, void *stream) { CONTEXT; return take(p, n, 0); }
int cuMemAllocManaged(address *p, size_t n, uint flags) { CONTEXT; return take(p, n, 0); }
int cuMemFree_v2(address p) { CONTEXT; return give(p, 0); }
int cuMemFreeAsync(address p, void *stream) { CONTEXT; return give(p, 0); }
int cuMemAllocHost_v2(address *p, size_t n) { CONTEXT; return take(p, n, 1); }
int cuMemHostAlloc(address *p, size_t n, uint flags) { CONTEXT; return take(p, n, 1); }
int cuMemFreeHost(address p) { CONTEXT; return give(p, 1); }
int cuMemHostGetDevicePointer_v2(address *p, address host, uint flags) { CONTEXT; *p = host; return holds(host, 1, 1) ? 0 : INVALID_VALUE; }
ACCEPTED(cuMemHostRegister_v2)
ACCEPTED(cuMemHostUnregister)
int cuMemHostGetFlags(uint *flags, void *p) { CONTEXT; *flags = 0; return 0; }
int cuMemGetAddressRange_v2(address *start, size_t *n, address p) {
  CONTEXT;
  Block *b = holding(p, 1);
  if (!b) return INVALID_VALUE;
  if (start) *start = b->start;
  if (n) *n = b->size;
  return 0;
}
int cuPointerGetAttribute(void *out, int attribute, address p) {
  COUNTED;
  Block *b = holding(p, 1);
  if (!b) return INVALID_VALUE;
  switch (attribute) {
    case 1: *(void **)out = &primary; break;
    case 2: *(uint *)out = b->pinned ? 1 : 2; break; /* host, device */
    case 3: case 4: *(address *)out = p; break;
    case 9: *(int *)out = 0; break;
    default: return INVALID_VALUE;
  }
  return 0;
}
int cuMemcpyHtoD_v2(void *to, const void *from, size_t n) { CONTEXT; return copy(to, from, n, 1, 0); }
int cuMemcpyDtoH_v2(void *to, const void *from, size_t n) { CONTEXT; return copy(to, from, n, 0, 1); }
int cuMemcpyDtoD_v2(void *to, const void *from, size_t n) { CONTEXT; return copy(to, from, n, 1, 1); }
int cuMemcpyHtoDAsync_v2(void *to, const void *from, size_t n, void *stream) { CONTEXT; return hurried(to, from, n, 1, 0); }
int cuMemcpyDtoHAsync_v2(void *to, const void *from, size_t n, void *stream) { CONTEXT; return hurried(to, from, n, 0, 1); }
int cuMemcpyDtoDAsync_v2(void *to, const void *from, size_t n, void *stream) { CONTEXT; return hurried(to, from, n, 1, 1); }
static int set(address p, uint8_t value, size_t n) {
  if (!holds(p, n, 0)) return INVALID_VALUE;
  memset((void *)p, value, n);
  return 0;
}
int cuMemsetD8_v2(address p, uint8_t value, size_t n) { CONTEXT; return set(p, value, n); }
int cuMemsetD8Async(address p, uint8_t value, size_t n, void *stream) { CONTEXT; return set(p, value, n); }

/* -- streams and events -------------------------------------------------------------------------------------------------------- */
static uintptr_t handles = 0x1000;
static int fresh(void **handle) { *handle = (void *)__atomic_add_fetch(&handles, 16, __ATOMIC_SEQ_CST); return 0; }

int cuStreamCreate(void **stream, uint flags) { CONTEXT; return fresh(stream); }
int cuStreamCreateWithPriority(void **stream, uint flags, int priority) { CONTEXT; return fresh(stream); }
int cuStreamSynchronize(void *stream) { CONTEXT; return 0; }
int cuStreamQuery(void *stream) { CONTEXT; return 0; }
int cuStreamWaitEvent(void *stream, void *event, uint flags) { CONTEXT; return event ? 0 : INVALID_HANDLE; }
int cuStreamGetCtx(void *stream, void **context) { COUNTED; *context = &primary; return 0; }
int cuStreamGetCtx_v2(void *stream, void **context, void **green) { COUNTED; *context = &primary; if (green) *green = NULL; return 0; }
int cuStreamGetDevice(void *stream, int *device) { COUNTED; *device = 0; return 0; }
int cuStreamIsCapturing(void *stream, int *status) { COUNTED; *status = 0; return 0; }
ACCEPTED(cuStreamDestroy_v2)
ACCEPTED(cuStreamAddCallback)
int cuEventCreate(void **event, uint flags) { CONTEXT; return fresh(event); }
int cuEventRecord(void *event, void *stream) { CONTEXT; return event ? 0 : INVALID_HANDLE; }
int cuEventQuery(void *event) { CONTEXT; return event ? 0 : INVALID_HANDLE; }
int cuEventSynchronize(void *event) { CONTEXT; return event ? 0 : INVALID_HANDLE; }
int cuEventElapsedTime(float *ms, void *start, void *end) { CONTEXT; *ms = 1; return 0; }
int cuEventElapsedTime_v2(float *ms, void *start, void *end) { CONTEXT; *ms = 1; return 0; }
ACCEPTED(cuEventDestroy_v2)

/* -- images and kernels -------------------------------------------------------------------------------------------------------- */
enum { PARAMETERS = 1024 }; /* 4096 bytes are allowed */
typedef struct Image { char *ptx; } Image; /* NULL: not text */
typedef struct Kernel {
  Image *image;
  char *name;
  int n, size; /* parameters and their bytes; -1: unknown */
  int at[PARAMETERS], bytes[PARAMETERS];
  struct Kernel *next;
} Kernel;
static Kernel *kernels;

static Image *load(const char *data) {
  Image *image = malloc(sizeof *image);
  image->ptx = strstr(data, ".version") && data[0] != 0x7f ? strdup(data) : NULL;
  return image;
}

static int layout(Kernel *k) { /* .param .u64 name, or .param .align 8 .b8 name[16] */
  char wanted[1024];
  k->n = k->size = -1;
  if (!k->image->ptx) return 0;
  snprintf(wanted, sizeof wanted, ".entry %s(", k->name);
  const char *p = strstr(k->image->ptx, wanted);
  if (!p) return NOT_FOUND;
  const char *end = strchr(p, ')');
  for (k->n = k->size = 0; (p = strstr(p, ".param")) && p < end; k->n++) {
    int align = 0, bits, skip = 0, many = 1;
    char name[512];
    p += strlen(".param");
    if (sscanf(p, " .align %d%n", &align, &skip) == 1) p += skip;
    if (k->n == PARAMETERS || sscanf(p, " .%*[a-z]%d %511[^,) \n\t]", &bits, name) != 2) return INVALID_IMAGE;
    if (strchr(name, '[')) many = atoi(strchr(name, '[') + 1);
    if (!align) align = bits / 8;
    k->at[k->n] = (k->size + align - 1) / align * align;
    k->bytes[k->n] = bits / 8 * many;
    k->size = k->at[k->n] + k->bytes[k->n];
  }
  return 0;
}

static int find(Kernel **found, Image *image, const char *name) {
  if (!image) return INVALID_HANDLE;
  Kernel *k = calloc(1, sizeof *k);
  k->image = image, k->name = strdup(name);
  int error = layout(k);
  pthread_mutex_lock(&lock);
  k->next = kernels, kernels = k;
  pthread_mutex_unlock(&lock);
  *found = k;
  return error;
}

static int is_kernel(const Kernel *k) {
  pthread_mutex_lock(&lock);
  const Kernel *other = kernels;
  while (other && other != k) other = other->next;
  pthread_mutex_unlock(&lock);
  return other != NULL;
}

int cuModuleLoadData(Image **module, const char *data) { CONTEXT; *module = load(data); return 0; }
int cuModuleLoadDataEx(Image **module, const char *data, uint n, int *options, void **values) { CONTEXT; *module = load(data); return 0; }
int cuModuleGetFunction(Kernel **f, Image *module, const char *name) { CONTEXT; return find(f, module, name); }
int cuModuleGetGlobal_v2(address *p, size_t *n, Image *module, const char *name) { CONTEXT; return NOT_FOUND; }
ACCEPTED(cuModuleUnload)
int cuLibraryLoadData(Image **library, const char *data, int *o, void **v, uint n, int *lo, void **lv, uint ln) {
  COUNTED;
  *library = load(data);
  return 0;
}
int cuLibraryGetKernel(Kernel **k, Image *library, const char *name) { COUNTED; return find(k, library, name); }
int cuLibraryGetModule(Image **module, Image *library) { CONTEXT; *module = library; return 0; }
int cuLibraryGetKernelCount(uint *n, Image *library) { COUNTED; *n = 1; return 0; }
ACCEPTED(cuLibraryUnload)
int cuKernelGetFunction(Kernel **f, Kernel *k) { CONTEXT; *f = k; return is_kernel(k) ? 0 : INVALID_HANDLE; }
int cuKernelGetLibrary(Image **library, Kernel *k) { COUNTED; *library = k->image; return 0; }
int cuKernelGetAttribute(int *value, int attribute, Kernel *k, int device) { COUNTED; *value = attribute ? 64 : 1024; return 0; }
ACCEPTED(cuKernelSetAttribute)
ACCEPTED(cuKernelSetCacheConfig)
int cuFuncGetAttribute(int *value, int attribute, Kernel *k) { COUNTED; *value = attribute ? 64 : 1024; return 0; }
ACCEPTED(cuFuncSetAttribute)
ACCEPTED(cuFuncSetCacheConfig)
int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, Kernel *k, int threads, size_t shared) { CONTEXT; *n = 2; return 0; }
int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, Kernel *k, int threads, size_t shared, uint flags) {
  CONTEXT;
  *n = 2;
  return 0;
}
ACCEPTED(cuProfilerStart)
ACCEPTED(cuProfilerStop)

static int too_new(const char *ptx) { /* CUDA 11 knows PTX 7, 12 knows 8, ... */
  int isa = 0;
  const char *found = strstr(ptx, ".version");
  return found && sscanf(found, ".version %d", &isa) == 1 && isa > number("FAKE_CUDA_VERSION", 13000) / 1000 - 4;
}

typedef struct { char *data; size_t n; } Link; /* what is linked is the text itself */
int cuLinkCreate_v2(uint n, int *options, void **values, Link **link) { CONTEXT; *link = calloc(1, sizeof(Link)); return 0; }
int cuLinkAddData_v2(Link *l, int kind, const char *data, size_t n, const char *name, uint no, int *options, void **values) {
  CONTEXT;
  l->data = realloc(l->data, l->n + n + 1);
  memcpy(l->data + l->n, data, n);
  l->data[l->n += n] = 0;
  return too_new(l->data) ? UNSUPPORTED_PTX : 0;
}
int cuLinkComplete(Link *l, void **image, size_t *n) { CONTEXT; *image = l->data, *n = l->n + 1; return 0; }
int cuLinkDestroy(Link *l) { COUNTED; free(l->data); free(l); return 0; }

/* -- launches ------------------------------------------------------------------------------------------------------------------ */
typedef struct { Kernel *kernel; uint grid[3], block[3], shared; void *stream; size_t size; char *bytes; } Launch;
static Launch *launches;
static size_t n_launches, room;
static int logging;

static int packed(Launch *l, void **parameters, void **extra) {
  const Kernel *k = l->kernel;
  l->size = 0, l->bytes = NULL;
  if (extra) { /* 1: the buffer, 2: where its size lies, 0: the end */
    const char *buffer = NULL;
    for (; *extra; extra += 2) {
      if (*extra == (void *)1) buffer = extra[1];
      else if (*extra == (void *)2) l->size = *(size_t *)extra[1];
      else return INVALID_VALUE;
    }
    if (!buffer || (k->n >= 0 && l->size != (size_t)k->size)) return INVALID_VALUE;
    l->bytes = memcpy(malloc(l->size + 1), buffer, l->size);
  } else if (k->n >= 0) {
    l->size = k->size;
    l->bytes = calloc(l->size + 1, 1);
    for (int i = 0; i < k->n; i++) memcpy(l->bytes + k->at[i], parameters[i], k->bytes[i]);
  }
  return 0;
}

static int fits(const Launch *l) {
  uint threads = l->block[0] * l->block[1] * l->block[2];
  return l->grid[0] && l->grid[1] && l->grid[2] && l->grid[0] <= 2147483647u && l->grid[1] <= 65535 && l->grid[2] <= 65535 && threads
         && threads <= 1024 && l->block[2] <= 64 && l->shared <= 227 << 10;
}

static int judged(Launch *l, void **parameters, void **extra) {
  if (!is_kernel(l->kernel)) return INVALID_HANDLE;
  return fits(l) ? packed(l, parameters, extra) : INVALID_VALUE;
}

static int (*runner)(const Launch *); /* what runs kernels, if anything does; its answer is the launch's */

static int launched(Launch l) { /* owns the bytes */
  int error = runner ? runner(&l) : 0;
  pthread_mutex_lock(&lock);
  if (logging) {
    if (n_launches == room) launches = realloc(launches, (room = 2 * room + 64) * sizeof l);
    launches[n_launches++] = l;
  } else free(l.bytes);
  pthread_mutex_unlock(&lock);
  return error;
}

static int launch(Launch l, void **parameters, void **extra) {
  int error = judged(&l, parameters, extra);
  return error ? error : launched(l);
}

int cuLaunchKernel(Kernel *k, uint gx, uint gy, uint gz, uint bx, uint by, uint bz, uint shared, void *stream, void **parameters, void **extra) {
  CONTEXT;
  return launch((Launch){k, {gx, gy, gz}, {bx, by, bz}, shared, stream, 0, NULL}, parameters, extra);
}
int cuLaunchCooperativeKernel(Kernel *k, uint gx, uint gy, uint gz, uint bx, uint by, uint bz, uint shared, void *stream, void **parameters) {
  CONTEXT;
  return launch((Launch){k, {gx, gy, gz}, {bx, by, bz}, shared, stream, 0, NULL}, parameters, NULL);
}
typedef struct { uint grid[3], block[3], shared; void *stream, *attributes; uint n; } Config;
int cuLaunchKernelEx(const Config *c, Kernel *k, void **parameters, void **extra) {
  CONTEXT;
  Launch l = {k, {c->grid[0], c->grid[1], c->grid[2]}, {c->block[0], c->block[1], c->block[2]}, c->shared, c->stream, 0, NULL};
  return launch(l, parameters, extra);
}

/* -- graphs of kernel nodes: one after the other, as they were added ----------------------------------------------------------- */
typedef struct { Kernel *function; uint grid[3], block[3], shared; void **parameters, **extra; Kernel *kernel; void *context; } Node;
typedef struct { Launch *launches; size_t n; } Graph;
typedef uintptr_t Place; /* of a node: its graph's number from 1 */

static int node(Launch *l, const Node *p) {
  Kernel *k = p->function ? p->function : p->kernel;
  *l = (Launch){k, {p->grid[0], p->grid[1], p->grid[2]}, {p->block[0], p->block[1], p->block[2]}, p->shared, NULL, 0, NULL};
  return judged(l, p->parameters, p->extra);
}
static Launch twin(Launch l) {
  if (l.bytes) l.bytes = memcpy(malloc(l.size + 1), l.bytes, l.size);
  return l;
}
static int end(Graph *g) {
  for (size_t i = 0; i < g->n; i++) free(g->launches[i].bytes);
  free(g->launches);
  free(g);
  return 0;
}

int cuGraphCreate(Graph **g, uint flags) { CONTEXT; *g = calloc(1, sizeof **g); return 0; }
int cuGraphAddKernelNode_v2(Place *place, Graph *g, const Place *after, size_t n, const Node *p) {
  CONTEXT;
  int follows = !g->n;
  for (size_t i = 0; i < n; i++) {
    if (!after[i] || after[i] > g->n) return INVALID_VALUE;
    follows |= after[i] == g->n;
  }
  g->launches = realloc(g->launches, (g->n + 1) * sizeof(Launch));
  int wrong = node(&g->launches[g->n], p);
  if (wrong) return wrong;
  if (!follows) note("graph node without an order");
  *place = ++g->n;
  return 0;
}
int cuGraphInstantiateWithFlags(Graph **made, Graph *g, unsigned long long flags) {
  CONTEXT;
  *made = calloc(1, sizeof **made);
  **made = (Graph){malloc((g->n + 1) * sizeof(Launch)), g->n};
  for (size_t i = 0; i < g->n; i++) (*made)->launches[i] = twin(g->launches[i]);
  return 0;
}
int cuGraphExecKernelNodeSetParams_v2(Graph *g, Place place, const Node *p) {
  CONTEXT;
  if (!place || place > g->n) return INVALID_VALUE;
  Launch l;
  int wrong = node(&l, p);
  if (wrong) return wrong;
  if (l.kernel != g->launches[place - 1].kernel) return free(l.bytes), INVALID_VALUE;
  free(g->launches[place - 1].bytes);
  g->launches[place - 1] = l;
  return 0;
}
int cuGraphUpload(Graph *g, void *stream) { CONTEXT; return 0; }
int cuGraphLaunch(Graph *g, void *stream) {
  CONTEXT;
  for (size_t i = 0; i < g->n && !error; i++) {
    Launch l = twin(g->launches[i]);
    l.stream = stream;
    error = launched(l);
  }
  return error;
}
int cuGraphExecDestroy(Graph *g) { COUNTED; return end(g); }
int cuGraphDestroy(Graph *g) { COUNTED; return end(g); }

/* -- names --------------------------------------------------------------------------------------------------------------------- */
static const struct { int code; const char *name, *text; } ERRORS[] = {
  {0, "CUDA_SUCCESS", "no error"}, {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"}, {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
  {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"}, {46, "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA-capable device(s) is/are busy or unavailable"},
  {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}, {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
  {200, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}, {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
  {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain"}, {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}, {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
  {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
  {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
  {702, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated"}, {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
  {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
  {999, "CUDA_ERROR_UNKNOWN", "unknown error"},
};
enum { KNOWN = sizeof ERRORS / sizeof *ERRORS };
int cuGetErrorName(int code, const char **name) {
  for (int i = 0; i < KNOWN; i++)
    if (ERRORS[i].code == code) return *name = ERRORS[i].name, 0;
  return INVALID_VALUE;
}
int cuGetErrorString(int code, const char **text) {
  for (int i = 0; i < KNOWN; i++)
    if (ERRORS[i].code == code) return *text = ERRORS[i].text, 0;
  return INVALID_VALUE;
}

static void *looked_up(const char *name) { /* the newest version that is here */
  Dl_info self;
  char versioned[128];
  dladdr((void *)looked_up, &self);
  void *library = dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD), *found = NULL;
  for (int v = 4; v > 1 && !found; v--) {
    snprintf(versioned, sizeof versioned, "%s_v%d", name, v);
    found = dlsym(library, versioned);
  }
  if (!found) found = dlsym(library, name);
  dlclose(library);
  return found;
}
int cuGetProcAddress(const char *name, void **p, int version, uint64_t flags) { return (*p = looked_up(name)) ? 0 : NOT_FOUND; }
int cuGetProcAddress_v2(const char *name, void **p, int version, uint64_t flags, int *status) {
  *p = looked_up(name);
  if (status) *status = *p ? 0 : 1;
  return *p ? 0 : NOT_FOUND;
}
int cuGetExportTable(void **table, const void *id) { return NOT_FOUND; }
int cuIpcOpenMemHandle_v2(address *p, void *handle, uint flags) { COUNTED; return INVALID_VALUE; }
int cuIpcGetMemHandle(void *handle, address p) { COUNTED; return INVALID_VALUE; }
ACCEPTED(cuIpcCloseMemHandle)

/* -- what Python is given ------------------------------------------------------------------------------------------------------ */
/* From the at-th call of this name from now on (1: the next), so many of them (-1: all) give this error. "*": any call. */
void fake_fail(const char *name, long at, long times, int error) {
  pthread_mutex_lock(&lock);
  if (n_rules == RULES) abort();
  Rule *r = &rules[n_rules++];
  snprintf(r->name, sizeof r->name, "%s", name);
  r->before = at - 1, r->times = times, r->error = error;
  pthread_mutex_unlock(&lock);
}
void fake_heal(void) { n_rules = 0; }
void fake_limit(size_t bytes) { capacity = bytes; }
int fake_call(int i, const char **name, uint64_t *count) { return i < n_calls && (*name = calls[i].name, *count = calls[i].count, 1); }
void fake_reset(int log) { /* counts, the peak and the log begin anew */
  pthread_mutex_lock(&lock);
  for (int i = 0; i < n_calls; i++) calls[i].count = 0;
  for (size_t i = 0; i < n_launches; i++) free(launches[i].bytes);
  n_launches = 0, logging = log, peak = in_use;
  pthread_mutex_unlock(&lock);
}
void fake_memory(size_t *now, size_t *most) { *now = in_use, *most = peak; }
void fake_run(int (*with)(const Launch *)) { runner = with; }
size_t fake_blocks(address *starts, address *sizes, size_t room) { /* of the device's memory: how many there are */
  size_t n = 0;
  pthread_mutex_lock(&lock);
  for (Block *b = blocks; b; b = b->next)
    if (!b->pinned && n++ < room) starts[n - 1] = b->start, sizes[n - 1] = b->size;
  pthread_mutex_unlock(&lock);
  return n;
}
const Launch *fake_launch(size_t i) { return i < n_launches ? &launches[i] : NULL; }
const char *fake_name(const Kernel *k) { return k->name; }
const char *fake_ptx(const Kernel *k) { return k->image->ptx; }

__attribute__((constructor)) static void begin(void) {
  capacity = number("FAKE_CUDA_CAPACITY", 80L << 30);
  char name[64], *rest, *given = getenv("FAKE_CUDA_FAIL") ? strdup(getenv("FAKE_CUDA_FAIL")) : NULL;
  long at, times;
  int error;
  for (char *rule = given ? strtok_r(given, ";", &rest) : NULL; rule; rule = strtok_r(NULL, ";", &rest))
    if (sscanf(rule, " %63s %ld %ld %d", name, &at, &times, &error) == 4) fake_fail(name, at, times, error);
    else abort();
  free(given);
}

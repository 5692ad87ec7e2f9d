/*
 * Part of shim.c: the game as it was at one moment, kept, and put back as often as wanted.
 *
 * A snapshot is taken while the main thread waits for a message and all other threads sleep. It is a child
 * process that never runs: a fork, which shares its memory with the game until the game changes it. Putting it
 * back copies what has changed since, to the byte. Every thread of the game is meanwhile parked in a signal
 * handler; it then returns from the handler in which it was parked when the snapshot was taken, so the kernel
 * puts back its registers. Threads, files and sockets stay those of the process.
 *
 * Outside of memory is what the environment puts back (the files of the world; the pointer and the keys, which
 * are the X server's), and the number of the next request to the X server, of which only the lowest 16 bits are
 * ever sent: requests without effect are sent until they are the same.
 *
 * What cannot be put back is refused before anything is changed: other threads, other libraries, files that were
 * closed. The environment then starts the game from scratch.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/uio.h>

enum { SNAPSHOT_DONE, SNAPSHOT_RESTORED, SNAPSHOT_REFUSED };

#ifdef __x86_64__

#define PAGE 4096
#define MAX_THREADS 64
#define MAX_AREAS 16384
#define MAX_FILES 256
#define CHUNK (1 << 20)
#define STACK (64 << 10)
/* Mesa's threads block all other signals that a program may use. */
#define PARK_SIGNAL SIGSYS

struct area {
    uintptr_t low, high;
    int protection;
    int is_private, in_file, is_heap, is_stack, is_kernels;
};

struct parked_thread {
    pid_t tid;
    void *context;      /* the signal frame in which it is parked now */
    void *at_snapshot;  /* and in which it was when the snapshot was taken */
    atomic_int parked;
    uint8_t stack[STACK] __attribute__((aligned(64)));
};

/* In memory that the fork does not copy, so restoring leaves it alone. */
struct outside {
    pid_t main_tid, keeper;
    int n_threads, n_areas, n_current, n_files, restoring, result;
    _Atomic uint32_t releases;
    atomic_int parking; /* between the signals to park and the release */
    long heap_end;
    uint16_t x_request;
    struct {
        int fd;
        long offset;
    } files[MAX_FILES];
    struct area areas[MAX_AREAS], current[MAX_AREAS];
    uint8_t chunk[CHUNK];
    char text[2 * CHUNK];
    struct parked_thread threads[MAX_THREADS];
};

static struct outside *outside;

/* Not libc's: it keeps errno in memory that is being restored. */
static long raw(long number, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* ---- threads ---- */

static void __attribute__((noreturn)) return_from_signal(void *context) {
    __asm__ volatile("mov %0, %%rsp\n\tmov %1, %%eax\n\tsyscall" : : "r"(context), "i"(SYS_rt_sigreturn) : "memory");
    __builtin_unreachable();
}

static void __attribute__((noreturn)) park(struct parked_thread *me) {
    uint32_t releases = atomic_load(&outside->releases);
    atomic_store(&me->parked, 1);
    /* Not if it came too late, after the others had been released: nobody would release it. */
    while (atomic_load(&outside->parking) && atomic_load(&outside->releases) == releases)
        raw(SYS_futex, (long)&outside->releases, FUTEX_WAIT_PRIVATE, releases, 0, 0, 0);
    return_from_signal(outside->restoring ? me->at_snapshot : me->context);
}

static void take(struct parked_thread *me);

static void on_park_signal(int number, siginfo_t *info, void *context) {
    (void)number, (void)info;
    pid_t tid = (pid_t)raw(SYS_gettid, 0, 0, 0, 0, 0, 0);
    for (int i = 0; outside && i < outside->n_threads; i++) {
        struct parked_thread *me = &outside->threads[i];
        if (me->tid != tid) continue;
        me->context = context;
        /* On a stack of its own, since the thread's stack may be restored meanwhile. */
        __asm__ volatile("mov %0, %%rsp\n\tcall *%1"
                         :
                         : "r"(me->stack + STACK), "r"(tid == outside->main_tid ? take : park), "D"(me)
                         : "memory");
        __builtin_unreachable();
    }
}

/* Read a file of /proc; returns its length, 0 if it is too long. */
static long read_text(const char *path) {
    long file = raw(SYS_open, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0, 0);
    long length = 0, n = 1;
    while (file >= 0 && n > 0 && length < (long)sizeof outside->text - 1) {
        n = raw(SYS_read, file, (long)outside->text + length, sizeof outside->text - 1 - length, 0, 0, 0);
        if (n > 0) length += n;
    }
    if (file >= 0) raw(SYS_close, file, 0, 0, 0, 0, 0);
    if (file < 0 || n) return 0;
    outside->text[length] = 0;
    return length;
}

/* Call `act` with every number that names an entry of a folder of /proc; returns how many there are. */
static int each_number(const char *folder, int (*act)(int number, int i)) {
    long file = raw(SYS_open, (long)folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0, 0);
    int count = 0, of_files = folder[sizeof "/proc/self/" - 1] == 'f';
    long n;
    while ((n = raw(SYS_getdents64, file, (long)outside->text, sizeof outside->text, 0, 0, 0)) > 0)
        for (long at = 0; at < n; at += *(uint16_t *)(outside->text + at + 16)) {
            const char *name = outside->text + at + 19;
            int number = 0;
            if (*name < '0' || *name > '9') continue;
            for (; *name; name++) number = number * 10 + *name - '0';
            if ((number != file || !of_files) && act(number, count)) count++; /* not the folder itself */
        }
    raw(SYS_close, file, 0, 0, 0, 0, 0);
    return count;
}

static int note_thread(int tid, int i) {
    if (i < MAX_THREADS) {
        outside->threads[i].tid = tid;
        outside->n_threads = i + 1;
    }
    return 1;
}

static int is_known_thread(int tid, int i) {
    (void)i;
    for (int k = 0; k < outside->n_threads; k++)
        if (outside->threads[k].tid == tid) return 1;
    return 0;
}

static int any(int number, int i) {
    (void)number, (void)i;
    return 1;
}

/* Park all other threads; returns whether they are. */
static int park_others(struct parked_thread *me) {
    pid_t process = (pid_t)raw(SYS_getpid, 0, 0, 0, 0, 0, 0);
    int64_t give_up = real_ns() + 8 * NS;
    for (int i = 0; i < outside->n_threads; i++) {
        struct parked_thread *other = &outside->threads[i];
        if (other != me && raw(SYS_tgkill, process, other->tid, PARK_SIGNAL, 0, 0, 0)) return 0;
    }
    for (int i = 0; i < outside->n_threads; i++)
        while (&outside->threads[i] != me && !atomic_load(&outside->threads[i].parked)) {
            if (real_ns() > give_up) return 0;
            raw(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
        }
    return 1;
}

/* ---- open files: their offsets ---- */

static int note_file(int fd, int i) {
    if (i >= MAX_FILES) return 1;
    outside->files[i].fd = fd;
    outside->files[i].offset = raw(SYS_lseek, fd, 0, SEEK_CUR, 0, 0, 0);
    outside->n_files = i + 1;
    return 1;
}

static int is_noted_file(int fd, int i) {
    (void)i;
    for (int k = 0; k < outside->n_files; k++)
        if (outside->files[k].fd == fd) return 1;
    return 0;
}

static void rewind_files(void) {
    for (int i = 0; i < outside->n_files; i++)
        if (outside->files[i].fd > STDERR_FILENO && outside->files[i].offset >= 0)
            raw(SYS_lseek, outside->files[i].fd, outside->files[i].offset, SEEK_SET, 0, 0, 0);
}

/* ---- memory ---- */

static const char *hexadecimal(const char *text, uintptr_t *number) {
    for (*number = 0; (*text >= '0' && *text <= '9') || (*text >= 'a' && *text <= 'f'); text++)
        *number = *number * 16 + (uintptr_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
    return text;
}

static int starts_with(const char *text, const char *start) {
    while (*start && *text == *start) text++, start++;
    return !*start;
}

/* List the process's mappings; returns how many, 0 if that fails. */
static int list_areas(struct area *areas) {
    if (!read_text("/proc/self/maps")) return 0;
    int n = 0;
    for (const char *line = outside->text; *line; line++) {
        if (n == MAX_AREAS) return 0;
        struct area area = {0};
        line = hexadecimal(line, &area.low);
        line = hexadecimal(line + 1, &area.high) + 1;
        area.protection = (line[0] == 'r' ? PROT_READ : 0) | (line[1] == 'w' ? PROT_WRITE : 0) |
                          (line[2] == 'x' ? PROT_EXEC : 0);
        area.is_private = line[3] == 'p';
        for (int spaces = 0; spaces < 3; line++) spaces += *line == ' ';
        area.in_file = *line != '0'; /* its inode */
        while (*line != ' ' && *line != '\n') line++;
        while (*line == ' ') line++;
        area.is_heap = starts_with(line, "[heap]");
        area.is_stack = starts_with(line, "[stack]");
        area.is_kernels = *line == '[' && !area.is_heap && !area.is_stack && !starts_with(line, "[anon");
        while (*line != '\n') line++;
        areas[n++] = area;
    }
    return n;
}

/* Whether the process can have changed it, or can have made it itself. */
static int is_ours(const struct area *area) {
    return area->is_private && !area->is_kernels && (!area->in_file || area->protection & PROT_WRITE);
}

/* Call `act` with every part of an area that none of the others covers; returns the number of failures. */
static int each_gap(const struct area *area, const struct area *others, int n, int (*act)(uintptr_t, uintptr_t)) {
    uintptr_t low = area->low;
    int failures = 0;
    for (int i = 0; i < n && low < area->high; i++) {
        if (others[i].high <= low) continue;
        if (others[i].low >= area->high) break;
        if (others[i].low > low) failures += act(low, others[i].low) != 0;
        low = others[i].high;
    }
    if (low < area->high) failures += act(low, area->high) != 0;
    return failures;
}

static int unmap(uintptr_t low, uintptr_t high) { return (int)raw(SYS_munmap, (long)low, (long)(high - low), 0, 0, 0, 0); }

static int map_at(uintptr_t low, uintptr_t high, int protection) {
    return raw(SYS_mmap, (long)low, (long)(high - low), protection,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != (long)low;
}

static int map_writable(uintptr_t low, uintptr_t high) { return map_at(low, high, PROT_READ | PROT_WRITE); }

static int is_missing(uintptr_t low, uintptr_t high) {
    (void)low, (void)high;
    return 1;
}

static int protect(const struct area *area, int protection) {
    return (int)raw(SYS_mprotect, (long)area->low, (long)(area->high - area->low), protection, 0, 0, 0);
}

/* Whether an area is mapped now exactly as then, so that its protection need not change. */
static int has_protection(const struct area *area) {
    for (int i = 0; i < outside->n_current; i++) {
        const struct area *now = &outside->current[i];
        if (now->low <= area->low && now->high >= area->high) return now->protection == area->protection;
    }
    return 0;
}

static int copy_changes(uintptr_t low, uintptr_t high) {
    while (low < high) {
        size_t n = high - low < CHUNK ? high - low : CHUNK;
        struct iovec here = {outside->chunk, n}, there = {(void *)low, n};
        if (raw(SYS_process_vm_readv, outside->keeper, (long)&here, 1, (long)&there, 1, 0) != (long)n) return -1;
        for (size_t page = 0; page < n; page += PAGE) {
            const uint64_t *then = (const uint64_t *)(outside->chunk + page);
            uint64_t *now = (uint64_t *)(low + page);
            size_t i = 0;
            while (i < PAGE / 8 && then[i] == now[i]) i++;
            if (i == PAGE / 8) continue;
            size_t words = PAGE / 8;
            __asm__ volatile("rep movsq" : "+S"(then), "+D"(now), "+c"(words) : : "memory");
        }
        low += n;
    }
    return 0;
}

/* Whether every mapping that restoring cannot make again is still there. */
static int can_restore(void) {
    if (!(outside->n_current = list_areas(outside->current))) return 0;
    for (int i = 0; i < outside->n_areas; i++) {
        const struct area *area = &outside->areas[i];
        if (!is_ours(area) || area->in_file)
            if (each_gap(area, outside->current, outside->n_current, is_missing)) return 0;
    }
    return 1;
}

static int restore_memory(void) {
    if (raw(SYS_brk, outside->heap_end, 0, 0, 0, 0, 0) != outside->heap_end) return -1;
    if (!(outside->n_current = list_areas(outside->current))) return -1;
    for (int i = 0; i < outside->n_current; i++) {
        const struct area *now = &outside->current[i];
        if (now->is_private && !now->is_kernels && !now->is_stack &&
            each_gap(now, outside->areas, outside->n_areas, unmap))
            return -1;
    }
    for (int i = 0; i < outside->n_areas; i++) {
        const struct area *area = &outside->areas[i];
        if (!is_ours(area)) continue;
        int same = has_protection(area);
        if (!area->protection) {
            if (!same && map_at(area->low, area->high, PROT_NONE)) return -1; /* empty: the game expects zeros */
            continue;
        }
        if (each_gap(area, outside->current, outside->n_current, map_writable)) return -1;
        int as_it_is = same && area->protection & PROT_WRITE;
        if (!as_it_is && protect(area, PROT_READ | PROT_WRITE)) return -1;
        if (copy_changes(area->low, area->high)) return -1;
        if (!as_it_is && protect(area, area->protection)) return -1;
    }
    return 0;
}

/* Fork a child that only keeps the memory; returns its process id, or a negative number. */
static long fork_keeper(void) {
    long pid;
    /* The child must not touch the stack, which it shares: close all files, die with the game, and wait. */
    __asm__ volatile(
        "xor %%esi, %%esi\n\txor %%edx, %%edx\n\txor %%r10d, %%r10d\n\txor %%r8d, %%r8d\n\t"
        "syscall\n\t"
        "test %%rax, %%rax\n\tjnz 2f\n\t"
        "mov %[prctl], %%eax\n\tmov $1, %%edi\n\tmov $9, %%esi\n\tsyscall\n\t"
        "mov %[close_range], %%eax\n\txor %%edi, %%edi\n\tmov $-1, %%esi\n\txor %%edx, %%edx\n\tsyscall\n\t"
        "1: mov %[pause], %%eax\n\tsyscall\n\tjmp 1b\n\t"
        "2:"
        : "=a"(pid)
        : "a"(SYS_clone), "D"(SIGCHLD), [prctl] "i"(SYS_prctl), [close_range] "i"(SYS_close_range), [pause] "i"(SYS_pause)
        : "rcx", "r11", "rsi", "rdx", "r10", "r8", "memory");
    return pid;
}

/* In the main thread, parked: take the snapshot or put it back. */
static void __attribute__((noreturn)) take(struct parked_thread *me) {
    int restored = 0;
    outside->result = SNAPSHOT_REFUSED;
    if (!park_others(me)) {
        /* nothing was changed */
    } else if (outside->restoring) {
        if (can_restore()) {
            if (restore_memory()) raw(SYS_exit_group, 1, 0, 0, 0, 0, 0); /* halfway: nothing to return to */
            rewind_files();
            restored = 1;
            outside->result = SNAPSHOT_RESTORED;
        }
    } else {
        for (int i = 0; i < outside->n_threads; i++) outside->threads[i].at_snapshot = outside->threads[i].context;
        outside->heap_end = raw(SYS_brk, 0, 0, 0, 0, 0, 0);
        outside->n_areas = list_areas(outside->areas);
        outside->keeper = outside->n_areas ? (pid_t)fork_keeper() : -1;
        if (outside->keeper > 0) outside->result = SNAPSHOT_DONE;
    }
    outside->restoring = restored;
    atomic_store(&outside->parking, 0);
    atomic_fetch_add(&outside->releases, 1);
    raw(SYS_futex, (long)&outside->releases, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0, 0);
    return_from_signal(restored ? me->at_snapshot : me->context);
}

/* ---- the X server's count of requests ---- */

/* Only the lowest 16 bits of a request's number are ever sent, so requests without effect can make it the same. */
static int count_x_requests_to(void *display, uint16_t wanted) {
    static const uint8_t no_operation[] = {127, 0, 1, 0};
    uint16_t missing = (uint16_t)(wanted - (uint16_t)x_next_request(display));
    for (uint32_t i = 0; i < sizeof outside->chunk; i++) outside->chunk[i] = no_operation[i % 4];
    for (uint32_t sent = 0, all = missing * 4u; sent < all;) {
        long n = raw(SYS_write, x_connection(display), (long)outside->chunk, all - sent, 0, 0, 0);
        struct pollfd writable = {.fd = x_connection(display), .events = POLLOUT};
        if (n > 0) sent += (uint32_t)n;
        else if (n != -EAGAIN || real_poll(&writable, 1, 10000) != 1) return -1;
    }
    return 0;
}

/* ---- what shim.c calls ---- */

static int perform(int restoring) {
    struct sigaction action = {.sa_sigaction = on_park_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigfillset(&action.sa_mask);
    sigaction(PARK_SIGNAL, &action, NULL);
    for (int i = 0; i < outside->n_threads; i++) atomic_store(&outside->threads[i].parked, 0);
    outside->restoring = restoring;
    atomic_store(&outside->parking, 1);
    syscall(SYS_tgkill, getpid(), gettid(), PARK_SIGNAL);
    return outside->result;
}

/* Keep the game as it is now. Returns SNAPSHOT_DONE, and later SNAPSHOT_RESTORED whenever it was put back. */
static int take_snapshot(void *display) {
    if (!outside) {
        void *memory = mmap(NULL, sizeof *outside, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) return SNAPSHOT_REFUSED;
        outside = memory;
    }
    if (outside->keeper > 0) return SNAPSHOT_REFUSED;
    x_sync(display, 0);
    outside->x_request = (uint16_t)x_next_request(display);
    outside->main_tid = gettid();
    if (each_number("/proc/self/task", note_thread) > MAX_THREADS) return SNAPSHOT_REFUSED;
    if (each_number("/proc/self/fd", note_file) > MAX_FILES) return SNAPSHOT_REFUSED;
    return perform(0);
}

/* Put the game back to its snapshot: returns only if that was refused. */
static int restore_snapshot(void *display) {
    if (!outside || outside->keeper <= 0) return SNAPSHOT_REFUSED;
    int files = each_number("/proc/self/fd", any), known_files = each_number("/proc/self/fd", is_noted_file);
    int threads = each_number("/proc/self/task", any), known = each_number("/proc/self/task", is_known_thread);
    if (files != outside->n_files || known_files != files) return SNAPSHOT_REFUSED;
    if (threads != outside->n_threads || known != threads) return SNAPSHOT_REFUSED;
    x_sync(display, 0); /* after this, nothing is on its way to us */
    if (count_x_requests_to(display, outside->x_request)) _exit(1);
    return perform(1);
}

#else

static int take_snapshot(void *display) { return (void)display, SNAPSHOT_REFUSED; }
static int restore_snapshot(void *display) { return (void)display, SNAPSHOT_REFUSED; }

#endif

/*
 * Runs one program and outlives neither it nor the environment: keeper PARENT_PID SIGNAL FOLDER PRELOAD PROGRAM...
 *
 * The program is ended when the environment's process goes away (its end of our standard input
 * closes, or our parent changes: also after kill -9), and it is killed by the kernel should we be
 * killed ourselves. FOLDER ("" for none) is removed afterwards. PRELOAD ("" for none) becomes the
 * program's LD_PRELOAD.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_program(char **argv, const char *preload, pid_t keeper) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != keeper) _exit(127);
    if (*preload) setenv("LD_PRELOAD", preload, 1);
    int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, 0);
    execvp(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

static void remove_folder(const char *folder) {
    for (int attempt = 0; attempt < 5 && access(folder, F_OK) == 0; attempt++) {
        pid_t remover = fork();
        if (remover == 0) {
            execlp("rm", "rm", "-rf", "--", folder, (char *)NULL);
            _exit(127);
        }
        if (remover > 0) waitpid(remover, NULL, 0);
        usleep(100000);
    }
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: keeper PARENT_PID SIGNAL FOLDER PRELOAD PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    pid_t parent = atoi(argv[1]);
    int how_to_end = atoi(argv[2]);
    setsid(); /* Ctrl-C in a terminal is the environment's business */
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    pid_t self = getpid(), program = fork();
    if (program < 0) return 1;
    if (program == 0) {
        signal(SIGTERM, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        run_program(argv + 5, argv[4], self);
    }
    syscall(SYS_close_range, 3U, ~0U, 0U); /* the program's channels must close when it ends */
    int status = 0, asked_at = -1, ended = 0;
    for (int tenths = 0; !ended; tenths++) {
        struct pollfd lifeline = {.fd = 0, .events = POLLIN};
        int alone = 0;
        if (asked_at < 0) alone = poll(&lifeline, 1, 100) != 0 || getppid() != parent;
        else usleep(20000);
        ended = waitpid(program, &status, WNOHANG) == program;
        if (ended) break;
        if (asked_at < 0 && alone) {
            kill(program, how_to_end);
            asked_at = tenths;
        } else if (asked_at >= 0 && tenths - asked_at > 100) {
            kill(program, SIGKILL);
        }
    }
    if (*argv[3]) {
        /* The program may end before the environment, which may still want the folder. */
        while (asked_at < 0) {
            struct pollfd lifeline = {.fd = 0, .events = POLLIN};
            if (poll(&lifeline, 1, 100) != 0 || getppid() != parent) break;
        }
        remove_folder(argv[3]);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The names of errnos and si_codes, for a port whose system has the numbers: include the system's headers first. */
#ifndef NAMES_H
#define NAMES_H

static const struct {
	int number;
	const char *name;
} errors[] = {
#define ERROR(name) {name, #name}
	ERROR(EPERM), ERROR(ENOENT), ERROR(EINTR), ERROR(EIO), ERROR(ENXIO), ERROR(EBADF), ERROR(EAGAIN), ERROR(ENOMEM),
	ERROR(EACCES), ERROR(EFAULT), ERROR(EBUSY), ERROR(EEXIST), ERROR(ENODEV), ERROR(ENOTDIR), ERROR(EISDIR),
	ERROR(EINVAL), ERROR(ENFILE), ERROR(EMFILE), ERROR(ENOTTY), ERROR(ETXTBSY), ERROR(EFBIG), ERROR(ENOSPC),
	ERROR(ESPIPE), ERROR(EROFS), ERROR(ERANGE), ERROR(ENAMETOOLONG), ERROR(ENOSYS), ERROR(EOVERFLOW),
	ERROR(EOPNOTSUPP)};

/* The name of an errno; 0 if it has none here. */
static const char *errno_name(long number)
{
	for (unsigned long at = 0; at < sizeof errors / sizeof *errors; at++) {
		if (errors[at].number == number)
			return errors[at].name;
	}
	return 0;
}

#ifndef _WIN32
#define CODE(name) if (code == name) return #name
static const char *code_name(int signal, int code)
{
	if (signal == SIGSEGV) {
		CODE(SEGV_MAPERR);
		CODE(SEGV_ACCERR);
#ifdef SEGV_PKUERR
		CODE(SEGV_PKUERR);
#endif
	} else {
		CODE(BUS_ADRALN);
		CODE(BUS_ADRERR);
		CODE(BUS_OBJERR);
	}
#ifdef SI_KERNEL
	CODE(SI_KERNEL);
#endif
	return "-";
}
#endif

#endif

/*
 * names.h - which files of a watched folder are left alone, and moving the others.
 */
#ifndef DP_NAMES_H
#define DP_NAMES_H

#include <gio/gio.h>

/* Does something that writes, downloads or synchronises leave such names behind?  Names
 * that start with a dot, part files, lock files, Thumbs.db …; letter case does not matter.
 * `globs` (may be NULL) are the user's own. */
gboolean dp_name_is_ignored(const char *name, const char *const *globs);

/* `folder` itself, or something below it? */
gboolean dp_path_is_within(const char *path, const char *folder);

/* Nothing has this name.  FALSE when it has one, and when that can't be known now: what is
 * done for a file that is gone must not be done for an error that passes. */
gboolean dp_path_is_gone(const char *path);

/* Is the open file or folder on a network file system, or on one in user space, which may be
 * one? */
gboolean dp_fd_is_network(int fd);

/* mkdir -p.  FALSE with errno; unlike GLib's it tells an error that passes as what it is. */
gboolean dp_make_folders(const char *path, int mode);

/* `relative` with its last name short enough for what we put behind it (".error.json", ~2):
 * a long one is cut, and gets a number made of all of it.  Caller frees. */
char *dp_name_short(const char *relative);

/* A name below `folder` that nothing has yet: `relative` (short), or with ~2, ~3 … before the
 * ending of the name.  Its folder is made.  Caller frees. */
char *dp_path_free_name(const char *folder, const char *relative, GError **error);

/* rename(2) that does not replace, on any file system.  FALSE with errno. */
gboolean dp_rename_new(const char *from, const char *to);

/* Move a file to a name that nothing has; over file systems too (copy, sync, rename,
 * unlink).  Errors are DP_IO_ERROR: EEXIST when the name
 * was taken meanwhile, ENOENT when the file is not there. */
gboolean dp_file_move(const char *from, const char *to, GError **error);

#endif

#!/usr/bin/python3
"""What `meson install` puts where, and that it works there without any variable.

$DOCVL_BUILD is the build folder.  Installed into a staging folder (DESTDIR), then the
library is used from a small program through its pkg-config file, and docvl, moved to a
prefix of its own, extracts a sample.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("DOCVL_BUILD", ROOT / "build"))
INVOICE = ROOT / "samples" / "invoice-en.pdf"
PROGRAM = r"""
#include <docvl/vl.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    vl_error err = { 0 };
    vl_model *model = vl_model_open(argv[1], &(vl_model_opts){ .threads = 1 }, &err);
    if (model == NULL) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int32_t ids[16];
    size_t count = vl_tokenize(model, "total 25,50", 11, ids, 16);
    printf("%s %zu\n", vl_model_get_info(model)->name, count);
    vl_model_unref(model);
    return count > 0 && count <= 11 ? 0 : 1;
}
"""


def option(name):
    done = subprocess.run(["meson", "introspect", "--buildoptions", BUILD], capture_output=True,
                          check=True)
    return next(o["value"] for o in json.loads(done.stdout) if o["name"] == name)


def run(*command, **options):
    """With nothing of docvl in the environment."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("DOCVL")}
    env.update(options.pop("env", {}))
    return subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True,
                          timeout=240, check=False, **options)


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        stage = pathlib.Path(cls.folder.name) / "stage"
        done = run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", stage)
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        cls.stage = stage
        cls.prefix = stage / option("prefix").lstrip("/")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_everything_is_there(self):
        names = {str(p.relative_to(self.prefix)) for p in self.prefix.rglob("*")
                 if p.is_file()}
        libdir = option("libdir")
        for name in ("bin/docvl", "libexec/docvl/docvl-render", f"{libdir}/libdocvl.a",
                     "include/docvl/vl.h", f"{libdir}/pkgconfig/docvl.pc",
                     "share/docvl/model/config.json", "share/docvl/model/tokenizer.json",
                     "share/docvl/model/model.safetensors",
                     "share/bash-completion/completions/docvl",
                     "share/zsh/site-functions/_docvl",
                     "share/fish/vendor_completions.d/docvl.fish"):
            self.assertIn(name, names)
        for path in (ROOT / "schemas").glob("*.yaml"):
            self.assertIn(f"share/docvl/schemas/{path.name}", names)
        if shutil.which("scdoc") and option("man") != "disabled":
            for path in (ROOT / "pipeline" / "doc").glob("*.scd"):
                page = path.name[:-len(".scd")]
                self.assertIn(f"share/man/man{page[-1]}/{page}", names)

    def test_binaries_keep_no_build_path(self):
        for name in ("bin/docvl", "libexec/docvl/docvl-render"):
            done = run("readelf", "-d", self.prefix / name)
            self.assertNotRegex(done.stdout, r"R(UN)?PATH")

    def test_poppler_is_in_one_program(self):
        """The GPL's reach, and a stranger's bytes."""
        needs = {name: run("readelf", "-d", self.prefix / name).stdout
                 for name in ("bin/docvl", "libexec/docvl/docvl-render")}
        self.assertIn("libpoppler", needs["libexec/docvl/docvl-render"])
        self.assertNotRegex(needs["bin/docvl"], r"libpoppler|libtiff|libpng|libturbojpeg")

    def test_library(self):
        folder = pathlib.Path(self.folder.name)
        (folder / "use.c").write_text(PROGRAM)
        config = self.prefix / option("libdir") / "pkgconfig"
        flags = run("pkg-config", "--cflags", "--libs", "--static", "docvl",
                    env={"PKG_CONFIG_PATH": str(config),
                         "PKG_CONFIG_SYSROOT_DIR": str(self.stage)})
        self.assertEqual(flags.returncode, 0, flags.stderr)
        done = run(os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", "-std=c11",
                   "-Wno-unused-parameter", *self.sanitizers(), folder / "use.c", "-o",
                   folder / "use", *flags.stdout.split())
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run(folder / "use", self.prefix / "share/docvl/model")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"^docvl-[a-z]+ \d+$")

    @staticmethod
    def sanitizers():
        value = option("b_sanitize")
        return [] if value == "none" else [f"-fsanitize={value}"]

    def test_header_in_cpp(self):
        if shutil.which("c++") is None:
            self.skipTest("no C++ compiler")
        done = run("c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++", "-",
                   "-I", self.prefix / "include", input="#include <docvl/vl.h>\n")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_docvl_without_variables(self):
        """Relative to itself: the staging folder is not where it was built for."""
        docvl = self.prefix / "bin" / "docvl"
        done = run(docvl, "schema", "list")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("invoice", done.stdout)
        done = run(docvl, "model", "info")
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run(docvl, "extract", "--schema", "invoice", INVOICE, cwd=self.folder.name)
        self.assertIn(done.returncode, (0, 4), done.stderr)
        self.assertEqual(json.loads(done.stdout)["schema"], "invoice")

    def test_shell_finds_its_completion(self):
        done = run("bash", "-c", '. "$1" && complete -p docvl', "bash",
                   self.prefix / "share/bash-completion/completions/docvl")
        self.assertTrue(re.search(r"-F _docvl docvl", done.stdout), done.stderr)


if __name__ == "__main__":
    unittest.main()

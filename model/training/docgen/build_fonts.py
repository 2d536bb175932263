#!/usr/bin/env python3
"""Builds fonts/ from Debian packages of free fonts.

    build_fonts.py [--only FAMILY,FAMILY] [--packages FOLDER] [--out FOLDER]

Downloads the packages that FAMILIES names (with apt-get, into a folder that is removed afterwards, or
into --packages, where they stay), unpacks them without installing, and writes every face, cut down to the
characters of alphabet.py and without hinting, to OUT/CLASS/FAMILY-STYLE.(ttf|otf). The styles are r, b, i
and z (bold italic). Needs apt-get, dpkg-deb and fontTools (python3-fonttools).

The drawing depends on the set: another set of families gives other pages for the same seed.
Faces named Math… are the Fraktur alphabets of fonts for mathematics.
Handwriting faces whose signs are drawn wrongly were left out by eye.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
STYLES = "rbiz"

# family | Debian packages without "fonts-", joined by + | file, or file{regular,bold,italic,bold italic};
# "~" stands for a style that the family lacks.
FAMILIES = {
    "sans": """
        Andika | sil-andika | Andika-{Regular,Bold,Italic,BoldItalic}.ttf
        AveriaSansGWF | averia-sans-gwf | AveriaSansGWF-{Regular,Bold,Italic,BoldItalic}.ttf
        B612 | b612 | B612-{Regular,Bold,Italic,BoldItalic}.otf
        Cabin | cabin | Cabin-{Regular,Bold,Italic,BoldItalic}.otf
        Cantarell | cantarell | Cantarell-{Regular,Bold}.otf
        Carlito | crosextra-carlito | Carlito-{Regular,Bold,Italic,BoldItalic}.ttf
        ClearSans | clear-sans | ClearSans-{Regular,Bold,Italic,BoldItalic}.ttf
        Comfortaa | comfortaa | Comfortaa-{Regular,Bold}.ttf
        DejaVuSans | dejavu-core+dejavu-extra | DejaVuSans{,-Bold,-Oblique,-BoldOblique}.ttf
        DejaVuSansCondensed | dejavu-extra | DejaVuSansCondensed{,-Bold,-Oblique,-BoldOblique}.ttf
        Dosis | dosis | {~,Dosis-Bold}.otf
        FreeSans | freefont-ttf | FreeSans{,Bold,Oblique}.ttf
        GilliusADF | adf-gillius | GilliusADF-{Regular,Bold,Italic,BoldItalic}.otf
        GilliusCond | adf-gillius | GilliusADF-{Cond,BoldCond,CondItalic,BoldCondItalic}.otf
        Go | go | Go-{Regular,Bold,Italic,Bold-Italic}.ttf
        Heros | texgyre | texgyreheroscn-{regular,bold,italic,bolditalic}.otf
        Inter | inter | Inter-{Regular,Bold,Italic,BoldItalic}.otf
        InterDisplay | inter | InterDisplay-{Medium,ExtraBold}.otf
        InterLight | inter | Inter-{Light,SemiBold,LightItalic}.otf
        Jura | jura | Jura-{Regular,Bold}.otf
        Karla | karla | Karla-{Regular,Bold,Italic,BoldItalic}.otf
        Lato | lato | Lato-{Regular,Bold,Italic,BoldItalic}.ttf
        LatoLight | lato | Lato-{Light,Semibold,LightItalic,SemiboldItalic}.ttf
        LiberationSans | liberation | LiberationSans-{Regular,Bold,Italic,BoldItalic}.ttf
        LiberationSansNarrow | liberation | LiberationSansNarrow-{Regular,Bold,Italic,BoldItalic}.ttf
        Libris | adf-libris | LibrisADFStd-{Regular,Bold,Italic,BoldItalic}.otf
        LinBiolinum | linuxlibertine | LinBiolinum_R{,B,I}.otf
        lmsans | lmodern | lmsans10-{regular,bold,oblique}.otf
        Manrope | manrope | Manrope-{Regular,Bold}.ttf
        Mplus1 | mplus | Mplus1-{Regular,Bold}.otf
        Mplus2 | mplus | Mplus2-{Regular,Bold}.otf
        NimbusSans | urw-base35 | NimbusSans-{Regular,Bold,Italic,BoldItalic}.otf
        NimbusSansNarrow | urw-base35 | NimbusSansNarrow-{Regular,Bold,Oblique,BoldOblique}.otf
        OpenSans | open-sans | OpenSans-{Regular,Bold,Italic,BoldItalic}.ttf
        OpenSansCond | open-sans | OpenSans-Cond{Light,Bold,LightItalic}.ttf
        OpenSansLight | open-sans | OpenSans-{Light,Semibold,LightItalic,SemiboldItalic}.ttf
        OSPDIN | opendin | OSP-DIN.ttf
        OxygenSans | oxygen | Oxygen-Sans{,-Bold}.ttf
        Play | play | Play-{Regular,Bold}.ttf
        PTCaption | paratype | PTC{55F,75F}.ttf
        PTSans | paratype | PTS{55F,75F,56F,76F}.ttf
        PTSansNarrow | paratype | PTN{57F,77F}.ttf
        Quicksand | quicksand | Quicksand-{Regular,Bold}.ttf
        Roboto | roboto-unhinted | Roboto-{Regular,Bold,Italic,BoldItalic}.ttf
        RobotoCondensed | roboto-unhinted | RobotoCondensed-{Regular,Bold,Italic,BoldItalic}.ttf
        RobotoLight | roboto-unhinted | Roboto-{Light,Medium,LightItalic,MediumItalic}.ttf
        Universalis | adf-universalis | UniversalisADFStd-{Regular,Bold,Italic,BoldItalic}.otf
        UniversalisCond | adf-universalis | UniversalisADFStd-{Cond,BoldCond,CondItalic}.otf
        URWGothic | urw-base35 | URWGothic-{Book,Demi,BookOblique,DemiOblique}.otf
        Yanone | yanone-kaffeesatz | YanoneKaffeesatz-{Regular,Bold}.otf
        Aerial | arkpandora | Aerial{,Bd,It,BdIt}.ttf
        Tahoma | wine | tahoma{,bd}.ttf
        Tuffy | tuffy | Tuffy{,_Bold,_Italic,_Bold_Italic}.ttf
        Veranda | arkpandora | Veranda{,Bd,It,BdIt}.ttf
    """,
    "serif": """
        AccanthisADFStd | adf-accanthis | AccanthisADFStd-{Regular,Bold,Italic,BoldItalic}.otf
        Amiri | hosny-amiri | Amiri-{Regular,Bold}.ttf
        AveriaSerifGWF | averia-serif-gwf | AveriaSerifGWF-{Regular,Bold,Italic,BoldItalic}.ttf
        Bonum | texgyre | texgyrebonum-{regular,bold,italic,bolditalic}.otf
        Bookman | urw-base35 | URWBookman-{Light,Demi,LightItalic,DemiItalic}.otf
        C059 | urw-base35 | C059-{Roman,Bold,Italic,BdIta}.otf
        Caladea | crosextra-caladea | Caladea-{Regular,Bold,Italic,BoldItalic}.ttf
        CharisSIL | sil-charis | CharisSIL-{Regular,Bold,Italic,BoldItalic}.ttf
        DejaVuSerif | dejavu-core+dejavu-extra | DejaVuSerif{,-Bold,-Italic,-BoldItalic}.ttf
        DejaVuSerifCondensed | dejavu-extra | DejaVuSerifCondensed{,-Bold,-Italic,-BoldItalic}.ttf
        EBGaramond | ebgaramond | EBGaramond12-{Regular,Bold,Italic}.otf
        Essays | essays1743 | Essays1743{,-Bold,-Italic,-BoldItalic}.ttf
        FreeSerif | freefont-ttf | FreeSerif{,Bold,Italic,BoldItalic}.ttf
        Gentium | sil-gentium | Gentium-{R,~,I}.ttf
        Goudy | goudybookletter | GoudyBookletter1911.otf
        Junicode | junicode | JunicodeTwoBeta-{Regular,Bold,Italic,BoldItalic}.otf
        LiberationSerif | liberation | LiberationSerif-{Regular,Bold,Italic,BoldItalic}.ttf
        Libertine | linuxlibertine | LinLibertine_R{,B,I,BI}.otf
        lmroman | lmodern | lmroman10-{regular,bold,italic}.otf
        NimbusRoman | urw-base35 | NimbusRoman-{Regular,Bold,Italic,BoldItalic}.otf
        P052 | urw-base35 | P052-{Roman,Bold,Italic,BoldItalic}.otf
        PTSerif | paratype | PTF{55F,75F,56F,76F}.ttf
        RobotoSlab | roboto-slab | RobotoSlab-{Regular,Bold}.otf
        RomandeADFStd | adf-romande | RomandeADFStd-{Regular,~,Italic}.otf
        Schola | texgyre | texgyreschola-{regular,bold,italic,bolditalic}.otf
        Tinos | croscore | Tinos-{Regular,Bold,Italic,BoldItalic}.ttf
        Vollkorn | vollkorn | Vollkorn-{Regular,Bold,Italic,BoldItalic}.ttf
        Baskervald | adf-baskervald | BaskervaldADFStd{,-Bold,-Italic,-BoldItalic}.otf
        CenturyCatalogue | century-catalogue | Century-Catalogue.ttf
        CMURoman | cmu | cmun{rm,bx,ti,bi}.ttf
        Didot | gfs-didot | GFSDidot{,Bold,Italic,BoldItalic}.otf
        Fanwood | fanwood | Fanwood{Text,~,Text-Italic}.otf
        GFSBaskerville | gfs-baskerville | GFSBaskerville.otf
        LindenHill | lindenhill | LindenHill{,~,-Italic}.otf
        OldStandard | oldstandard | OldStandard-{Regular,Bold,Italic}.ttf
        Prociono | prociono | Prociono.otf
        Quattrocento | quattrocento | Quattrocento-Regular.otf
        Tymes | arkpandora | Tymes{,Bd}.ttf
    """,
    "mono": """
        agave | agave | agave-r-autohinted.ttf
        Anonymous | anonymous-pro | Anonymous Pro{, B}.ttf
        B612Mono | b612 | B612Mono-{Regular,Bold,Italic,BoldItalic}.otf
        CourierPrime | courier-prime | Courier Prime{, Bold, Italic}.otf
        CourierSans | courier-prime | Courier Prime Sans{, Bold}.otf
        Cousine | croscore | Cousine-{Regular,Bold,Italic,BoldItalic}.ttf
        cursor | texgyre | texgyrecursor-{regular,bold,italic}.otf
        DejaVuSansMono | dejavu-core+dejavu-extra | DejaVuSansMono{,-Bold,-Oblique}.ttf
        FantasqueMono | fantasque-sans | FantasqueSansMono-{Regular,Bold,Italic,BoldItalic}.ttf
        FiraCode | firacode | FiraCode-{Regular,Bold}.ttf
        FreeMono | freefont-ttf | FreeMono{,Bold,Oblique}.ttf
        GoMono | go | Go-Mono{,-Bold,-Italic,-Bold-Italic}.ttf
        Hack | hack | Hack-{Regular,Bold,Italic,BoldItalic}.ttf
        Inconsolata | inconsolata | Inconsolata.otf
        JetBrainsMono | jetbrains-mono | JetBrainsMono-{Regular,Bold,Italic,BoldItalic}.ttf
        LeagueMono | league-mono | LeagueMono-{Regular,Bold}.otf
        LeagueMonoCond | league-mono | LeagueMono-Condensed{,Bold}.otf
        LeagueMonoNarrow | league-mono | LeagueMono-Narrow{Regular,Bold}.otf
        LiberationMono | liberation | LiberationMono-{Regular,Bold,Italic,BoldItalic}.ttf
        lmmono | lmodern | lmmono{10-regular,lt10-bold}.otf
        monofur | monofur | monof55.ttf
        Monoid | monoid | Monoid-{Regular,Bold,Italic}.ttf
        mononoki | mononoki | mononoki-{Regular,Bold,Italic}.ttf
        Mplus50 | mplus | MplusCodeLatin50-{Regular,Bold}.otf
        Mplus60 | mplus | MplusCodeLatin60-{Regular,Bold}.otf
        NimbusMonoPS | urw-base35 | NimbusMonoPS-{Regular,Bold,Italic,BoldItalic}.otf
        NotoMono | noto-mono | NotoMono-Regular.ttf
        NotoSansMono | noto-mono | NotoSansMono-{Regular,Bold}.ttf
        OCRA | ocr-a | OCRA.ttf
        OCRB | ocr-b | OCRB.otf
        OxygenMono | oxygen | OxygenMono-Regular.ttf
        PTMono | paratype | PTM{55F,75F}.ttf
        T3270 | 3270 | 3270-Regular.ttf
        T3270c | 3270 | 3270SemiCondensed-Regular.ttf
        AerialMono | arkpandora | AerialMono{,Bd,It,BdIt}.ttf
        CMUTypewriter | cmu | cmuntt.ttf
        DotGothic | dotgothic16 | DotGothic16-Regular.ttf
        GlassTTY | glasstty | Glass_TTY_VT220.ttf
        GNUTypewriter | gnutypewriter | GNUTypewriter.ttf
        PcATI | pc-extra | Px_ATI_8x14.ttf
        PcBIOS | pc-extra | Px_AMI_BIOS-2y.ttf
        PcCompaq | pc-extra | Px_CompaqThin_8x16.ttf
        PcMDA | pc | Px_IBM_MDA.ttf
        PcSmall | pc-extra | Px_ATI_SmallW_6x8.ttf
        PcVGA8 | pc | Px_IBM_VGA8.ttf
        PcVGA9 | pc | Px_IBM_VGA9.ttf
        TlwgTypewriter | tlwg-typewriter-ttf | TlwgTypewriter{,-Bold}.ttf
    """,
    "hand": """
        Barunpen | nanum-extra | NanumBarunpenR.ttf
        Breip | breip | Breip.ttf
        Chorus | texgyre | texgyrechorus-mediumitalic.otf
        ComicNeue | comic-neue | ComicNeue-Regular.otf
        Dancing | dancingscript | DancingScript-Regular.otf
        Delphine | sjfonts | Delphine.ttf
        Isabella | isabella | Isabella.ttf
        Kristi | kristi | Kristi.ttf
        Lobster | lobstertwo | LobsterTwo-Regular.otf
        NanumBrush | nanum-extra | NanumBrush.ttf
        NanumPen | nanum-extra | NanumPen.ttf
        Steve | sjfonts | SteveHand.ttf
        Z003 | urw-base35 | Z003-MediumItalic.otf
        DKG | dkg-handwriting | dkg.ttf
        Humor | humor-sans | Humor-Sans.ttf
    """,
    "black": """
        Blankenburg | blankenburg | Blankenburg_UNZ1A.ttf
        Gamaliel | gamaliel | Gamaliel.ttf
        MathFree | freefont-ttf | {FreeSerif,FreeSerif}.ttf
        MathLatin | lmodern | {latinmodern-math,latinmodern-math}.otf
        MathPagella | texgyre-math | {texgyrepagella-math,texgyrepagella-math}.otf
        MathStix | stix | STIXGeneral-{Regular,Bold}.otf
        MathTermes | texgyre-math | {texgyretermes-math,texgyretermes-math}.otf
    """,
}


def families():
    """Yields (class, family, packages, {style: file name}) of the table."""
    for cls, rows in FAMILIES.items():
        for row in filter(None, map(str.strip, rows.splitlines())):
            family, packages, spec = (part.strip() for part in row.split("|"))
            yield cls, family, [f"fonts-{name}" for name in packages.split("+")], files_of(spec)


def files_of(spec):
    """'A{-R,~,-I}.otf' -> {'r': 'A-R.otf', 'i': 'A-I.otf'}; a plain name is the regular style."""
    if "{" not in spec:
        return {"r": spec}
    before, rest = spec.split("{")
    inside, after = rest.split("}")
    parts = inside.split(",")
    return {style: before + part + after for style, part in zip(STYLES, parts) if part != "~"}


def unpack(packages, folder):
    """Downloads what is not there yet and unpacks it; returns {file name: path} of all font files."""
    debs, tree = folder / "deb", folder / "tree"
    debs.mkdir(parents=True, exist_ok=True)
    missing = [name for name in packages if not list(debs.glob(f"{name}_*.deb"))]
    if missing:
        subprocess.run(["apt-get", "-q", "download", *missing], cwd=debs, check=True)
    found = {}
    for name in packages:
        target = tree / name
        if not target.exists():
            target.mkdir(parents=True)
            deb = max(debs.glob(f"{name}_*.deb"))
            subprocess.run(["dpkg-deb", "-x", str(deb), str(target)], check=True)
        for path in sorted(target.rglob("*")):
            if path.suffix.lower() in (".ttf", ".otf") and path.is_file():
                found.setdefault(path.name, path)
    return found


def gothic(font, bold):
    """Puts a font's mathematical Fraktur in the place of its letters; others than A to z go, digits and signs stay."""
    have = font.getBestCmap()
    odd = {} if bold else {"C": 0x212D, "H": 0x210C, "I": 0x2111, "R": 0x211C, "Z": 0x2128}
    base = 0x1D56C if bold else 0x1D504
    new = {c: g for c, g in have.items() if not chr(c).isalpha()}
    for n, letter in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"):
        new[ord(letter)] = have[odd.get(letter, base + n)]
    for table in font["cmap"].tables:
        if table.isUnicode():
            table.cmap = {c: g for c, g in new.items() if c < 0x10000 or table.format == 12}


def cut(source, target, characters, fraktur=""):
    """Writes the outlines of the characters alone: no hinting, no layout tables, no glyph names."""
    from fontTools import subset
    from fontTools.ttLib import TTFont
    options = subset.Options()
    options.hinting = options.glyph_names = options.legacy_kern = False
    options.notdef_outline = options.desubroutinize = True
    options.layout_features = []
    options.name_IDs = [1, 2, 13, 14]                   # family, style, licence and its address
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "kern", "DSIG", "FFTM", "BASE", "meta", "VDMX", "hdmx",
                            "LTSH", "MATH"]
    font = TTFont(source, lazy=True)
    if fraktur:
        gothic(font, fraktur == "b")
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=[ord(c) for c in characters + " "])
    subsetter.subset(font)
    font.save(target)


def build(wanted, found, out, characters):
    """Writes the faces of the wanted families; returns (faces written, bytes, problems)."""
    written, size, problems = 0, 0, []
    for cls, family, _, files in wanted:
        (out / cls).mkdir(parents=True, exist_ok=True)
        for style, name in files.items():
            if name not in found:
                problems.append(f"{family}: the packages hold no {name}")
                continue
            target = out / cls / f"{family}-{style}{os.path.splitext(name)[1]}"
            try:
                cut(found[name], target, characters, style if family.startswith("Math") else "")
            except Exception as error:                  # one broken font must not hide the others
                problems.append(f"{name}: {error!r}")
                continue
            written += 1
            size += target.stat().st_size
    return written, size, problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="families to build, with commas between")
    parser.add_argument("--packages", type=pathlib.Path, help="folder that keeps the packages")
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "fonts")
    args = parser.parse_args()
    sys.path.insert(0, str(HERE))
    from alphabet import CHARS, LONG_S
    only = set(filter(None, args.only.split(",")))
    wanted = [row for row in families() if not only or row[1] in only]
    unknown = only - {row[1] for row in wanted}
    if unknown:
        sys.exit(f"build_fonts: no family named {', '.join(sorted(unknown))}")
    folder = args.packages or pathlib.Path(tempfile.mkdtemp(prefix="docgen-fonts-"))
    try:
        packages = sorted({name for row in wanted for name in row[2]})
        found = unpack(packages, folder)
        written, size, problems = build(wanted, found, args.out, CHARS + LONG_S)
    finally:
        if not args.packages:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{written} faces of {len(wanted)} families, {size / 1e6:.1f} MB, in {args.out}")
    for problem in problems:
        print("problem:", problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

/*
 * shop.c - the head of a receipt: the shop's name and address, and the day.
 *
 * The head is what stands above the first title, table or amount.  Its first solid line,
 * or the first with the form of a company, is the name; the lines from the first that
 * reads like a street to the last before a fact (telephone, tax number) are the address.
 */
#include "clue.h"

#include <string.h>

#include "address.h"

#define HEAD_LINES   14  /* looked at */
#define HEAD_PART    0.5 /* of the page height */
#define ADDRESS_MOST 5   /* lines */
#define SEEN_LEAST   0.6 /* probability of a word: "0Y" off a smudge is no company */

#define NAME_FORM     3.8 /* the first line with the form of a company */
#define NAME_FIRST    2.6 /* the first solid line */
#define NAME_FAINT    1.5 /* the first line, hardly read */
#define NAME_NEXT     0.7 /* the second */
#define NAME_BEFORE   0.8 /* the line right above the address */
#define BLOCK_HEAD    2.6 /* the lines of street to place */
#define BLOCK_PLACE   1.0 /* with a postcode */
#define DATE_FIRST    1.2 /* the first date */
#define DATE_TIME     0.8 /* with a time in its line */
#define TIME_ONLY     1.0
#define CURRENCY_ONLY 1.2
#define PAID_FIRST    3.0 /* a way to pay with a sum beside it */
#define PAID_NEXT     1.5
#define PAID_ALONE    0.8 /* without a sum */

typedef struct line {
    char *text; /* of a row */
    gsize start, end;
    dx_box box;
    gboolean is_fact, is_street, has_postcode, is_title;
    gboolean has_form;    /* of a company */
    gboolean is_plot;     /* begins with the number of a house or plot */
    gboolean is_register; /* with its number behind it */
    gboolean is_greeting;
    gboolean is_faint;
} line;

static void line_clear(gpointer data)
{
    g_free(((line *)data)->text);
}

/* Half of a line of print are letters or digits; rules, stars and smudges are not. */
static gboolean is_noise(const char *text)
{
    guint good = 0, all = 0, longest = 0, run = 0;
    for (const char *c = text; *c != '\0'; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);
        if (g_unichar_isspace(u)) {
            run = 0;
            continue;
        }
        all++;
        good += g_unichar_isalnum(u) != 0;
        run = g_unichar_isalpha(u) ? run + 1 : 0;
        longest = MAX(longest, run);
    }
    return good < 4 || good * 2 < all || longest < 3;
}

/* "Coffee 2.00 2 4.00": two amounts in a row are goods, whatever the words say. */
static gboolean is_goods(const char *text)
{
    guint count = 0;
    for (const char *c = text; *c != '\0'; c++) {
        gsize n = strspn(c, "0123456789");
        if (n > 0 && (c[n] == '.' || c[n] == ',') &&
            strspn(c + n + 1, "0123456789") == 2 &&
            strchr(" \t", c[n + 3]) != NULL) /* or the end */
            count++;
        c += n > 0 ? n - 1 : 0;
    }
    return count > 1;
}

/* "29,": the number of a house alone in its line. */
static gboolean is_house(const char *text)
{
    gsize digits = strspn(text, "0123456789");
    return digits > 0 && digits < 5 && strcmp(text + digits, ",") == 0;
}

static gboolean has_postcode(const char *text)
{
    guint run = 0;
    for (const char *c = text;; c++) {
        if (g_ascii_isdigit(*c) || (*c == 'O' && run >= 3)) {
            run++;
            continue;
        }
        if (run == 5 && *c != '-' && *c != '/')
            return TRUE;
        if (*c == '\0')
            return FALSE;
        run = 0;
    }
}

static gboolean begins_with(const char *folded, const char *const *words)
{
    for (; *words != NULL; words++) {
        gsize n = strlen(*words);
        if (strncmp(folded, *words, n) == 0 && !g_ascii_isalpha(folded[n]))
            return TRUE;
    }
    return FALSE;
}

/* "NO.: 4F", "Lot 12": the number of a house or a plot, whatever marks follow. */
static gboolean is_plot(const char *folded)
{
    static const char *const words[] = { "lot",   "unit",  "no",    "blk",
                                         "block", "level", "suite", "shop",
                                         "kedai", "pt",    "plot",  "ground floor",
                                         NULL };
    guint letters = 0;
    for (const char *c = folded; *c != '\0'; c++)
        letters += g_ascii_isalpha(*c) != 0;
    return begins_with(folded, words) && letters >= 4;
}

/* "ADD: ...": the label goes, the address stays. */
static void cut_label(char *text)
{
    static const char *const words[] = { "add",    "addr",    "address",   "ho add",
                                         "alamat", "adresse", "direccion", "indirizzo",
                                         "adres",  NULL };
    char *colon = strchr(text, ':');
    if (colon == NULL)
        return;
    g_autofree char *folded = dx_fold(text, (gsize)(colon - text));
    g_strstrip(folded);
    for (const char *const *word = words; *word != NULL; word++)
        if (strcmp(folded, *word) == 0) {
            memmove(text, colon + 1, strlen(colon + 1) + 1);
            g_strchug(text);
            return;
        }
}

/* What print leaves at the ends of a line: rules and smudges without a letter or digit. */
static void cut_marks(char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    guint first = 0, last = g_strv_length(words);
    while (first < last && strpbrk(words[first], "&(\"'") == NULL &&
           strlen(words[first]) < 3 && !g_unichar_isalnum(g_utf8_get_char(words[first])))
        first++;
    while (last > first && strpbrk(words[last - 1], "&)\"'") == NULL &&
           strlen(words[last - 1]) < 3 &&
           !g_unichar_isalnum(g_utf8_get_char(words[last - 1])))
        last--;
    GString *out = g_string_new(NULL);
    for (guint i = first; i < last; i++)
        g_string_append_printf(out, "%s%s", i > first ? " " : "", words[i]);
    if (out->len > 0)
        memcpy(text, out->str, out->len + 1);
    g_string_free(out, TRUE);
}

static gboolean is_greeting(const char *folded)
{
    static const char *const words[] = { "welcome",      "thank you",  "thanks",
                                         "merci",        "bienvenue",  "willkommen",
                                         "danke",        "gracias",    "bienvenid",
                                         "grazie",       "benvenut",   "obrigad",
                                         "bem-vind",     "dziekujemy", "witamy",
                                         "dekujeme",     "vitejte",    "selamat datang",
                                         "terima kasih", "welkom",     "bedankt",
                                         "herzlich",     NULL };
    for (const char *const *word = words; *word != NULL; word++)
        if (strstr(folded, *word) != NULL)
            return TRUE;
    return FALSE;
}

/* "SDN BHD" with a letter lost or wrong. */
static gboolean nearly_has_form(const char *folded)
{
    static const char form[] = "sdnbhd";
    GString *solid = g_string_new(NULL);
    for (const char *c = folded; *c != '\0'; c++)
        if (g_ascii_isalnum(*c))
            g_string_append_c(solid, *c);
    gboolean found = FALSE;
    for (gsize at = 0; at + 5 <= solid->len && !found; at++) {
        const char *t = solid->str + at;
        for (gsize skip = 0; skip < 6 && !found; skip++) /* one is missing */
            found = strncmp(t, form, skip) == 0 &&
                    strncmp(t + skip, form + skip + 1, 5 - skip) == 0;
        for (gsize other = 0; other < 6 && at + 6 <= solid->len && !found; other++)
            found = strncmp(t, form, other) == 0 && /* one is wrong */
                    strncmp(t + other + 1, form + other + 1, 5 - other) == 0;
    }
    g_string_free(solid, TRUE);
    return found;
}

/* What many shops call themselves without being companies by their name. */
static gboolean has_firm_form(const char *folded)
{
    static const char *const weak[] = { "enterprise", "trading", "holdings", "restaurant",
                                        "restoran",   "mart",    NULL };
    g_auto(GStrv) words = g_strsplit_set(folded, " ,()", -1);
    GString *rest = g_string_new(NULL);
    for (char **word = words; *word != NULL; word++)
        if (!g_strv_contains(weak, *word))
            g_string_append_printf(rest, "%s ", *word);
    gboolean has = dx_has_legal_form(rest->str) || nearly_has_form(rest->str);
    g_string_free(rest, TRUE);
    return has;
}

/* A register number in brackets is no part of a name: "ACME SDN BHD (123456-X)". */
static void cut_register(char *text)
{
    char *bracket = strrchr(text, '(');
    if (bracket == NULL || bracket == text)
        return;
    guint digits = 0;
    for (const char *c = bracket; *c != '\0'; c++)
        digits += g_ascii_isdigit(*c) != 0;
    if (digits >= 4) {
        *bracket = '\0';
        g_strchomp(text);
        for (gsize n = strlen(text); n > 1 && text[n - 1] == '('; n--)
            text[n - 1] = '\0';
        g_strchomp(text);
    }
}

static gboolean is_register(const char *text)
{
    guint digits = 0, letters = 0;
    for (const char *c = text; *c != '\0'; c = g_utf8_next_char(c)) {
        digits += g_ascii_isdigit(*c) != 0;
        letters += g_unichar_isalpha(g_utf8_get_char(c)) != 0;
    }
    return digits >= 5 && letters <= 3 && !(digits == 5 && letters == 0);
}

/* A company's number in brackets behind its name. */
static gboolean has_register(const char *text)
{
    g_autofree char *cut = g_strdup(text);
    cut_register(cut);
    return strlen(cut) < strlen(text);
}

static gboolean is_head_end(const char *text)
{
    static const char *const words[] = { "invoice",   "receipt", "qty",   "description",
                                         "cashier",   "item",    "table", "order no",
                                         "bill no",   "doc no",  "kasse", "artikel",
                                         "kassenbon", "ticket",  "bon",   "paragon",
                                         "doklad",    NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    for (const char *const *word = words; *word != NULL; word++)
        if (strstr(folded, *word) != NULL)
            return TRUE;
    return dx_is_title(text);
}

/* A line with a word that was hardly read. */
static gboolean is_faint(const dx_scene *s, const GArray *boxes)
{
    for (guint i = 0; s->words != NULL && i < boxes->len; i++) {
        const dx_box *box = &g_array_index(boxes, dx_box, i);
        if (dx_seen(s->layout, s->words, box) < SEEN_LEAST)
            return TRUE;
    }
    return FALSE;
}

/* What may stand below the line with the postcode: a state, a country. */
static gboolean is_region(const char *text)
{
    static const char *const words[] = { "selangor", "johor",    "pahang",     "perak",
                                         "penang",   "pinang",   "kedah",      "sarawak",
                                         "sabah",    "malaysia", "lumpur",     "darul",
                                         "melaka",   "kelantan", "terengganu", "negeri",
                                         "labuan",   "perlis",   "singapore",  NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    for (const char *const *word = words; *word != NULL; word++)
        if (strstr(folded, *word) != NULL)
            return TRUE;
    g_autofree char *code = NULL;
    return dx_normalize(DX_KIND_COUNTRY, text, NULL, &code, NULL);
}

static GArray *head_of(const dx_scene *s)
{
    const dx_layout *l = s->layout;
    GArray *lines = g_array_new(FALSE, TRUE, sizeof(line));
    g_array_set_clear_func(lines, line_clear);
    for (gsize at = 0; at < l->bytes && lines->len < HEAD_LINES;) {
        const char *newline = memchr(l->text + at, '\n', l->bytes - at);
        gsize end = newline != NULL ? (gsize)(newline - l->text) : l->bytes;
        line one = { .start = at, .end = end };
        one.text = g_strstrip(g_strdelimit(g_strndup(l->text + at, end - at), "\t", ' '));
        g_autoptr(GArray) boxes = dx_layout_span(l, at, end, &one.box);
        at = end + 1;
        cut_marks(one.text);
        cut_label(one.text);
        gboolean is_bare = is_noise(one.text) && !is_register(one.text) &&
                           !has_postcode(one.text) && !is_house(one.text);
        one.is_title = is_head_end(one.text) || is_goods(one.text);
        gboolean is_over = one.box.y0 > HEAD_PART || (one.is_title && lines->len > 2);
        if (is_bare || boxes->len == 0 || is_over) {
            g_free(one.text);
            if (is_over)
                break;
            continue;
        }
        g_autofree char *folded = dx_fold(one.text, strlen(one.text));
        g_autofree char *bare = g_strdup(one.text); /* 95874 of "(95874)" is none */
        cut_register(bare);
        one.has_postcode = has_postcode(bare);
        one.is_greeting = is_greeting(folded);
        one.is_plot = is_plot(folded);
        one.is_register = has_register(one.text);
        gboolean is_place = is_plot(folded) || (one.has_postcode && is_region(one.text));
        one.is_fact = (dx_is_fact(one.text) && !is_place) || is_register(one.text) ||
                      one.is_greeting;
        one.is_street = (dx_is_street(one.text) || is_plot(folded) ||
                         g_str_has_prefix(folded, "c/o ")) &&
                        !is_register(one.text) && !one.is_register;
        one.is_faint = is_faint(s, boxes);
        one.has_form =
            nearly_has_form(folded) || (dx_has_legal_form(one.text) && !one.is_faint);
        g_array_append_val(lines, one);
    }
    return lines;
}

static void grow(dx_box *all, const dx_box *box)
{
    all->x0 = MIN(all->x0, box->x0);
    all->y0 = MIN(all->y0, box->y0);
    all->x1 = MAX(all->x1, box->x1);
    all->y1 = MAX(all->y1, box->y1);
}

/* "One Utama Phase 2": a street by its number alone. */
static gboolean is_weak_street(const char *text)
{
    g_autofree char *words = g_strdup(text);
    g_strcanon(words, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.,' ", ' ');
    return !g_ascii_isdigit(text[0]) && !dx_is_street(words) && !dx_is_part(words);
}

static gboolean has_postcode_soon(const GArray *head, guint from)
{
    for (guint i = from; i < head->len && i < from + 3; i++) {
        const line *one = &g_array_index(head, line, i);
        if (one->is_fact || one->is_title)
            return FALSE;
        if (one->has_postcode)
            return TRUE;
    }
    return FALSE;
}

/* The lines of an address from `from` on; gives the last. */
static guint run_of(const GArray *head, guint from, gboolean *has_place)
{
    guint to = from;
    *has_place = g_array_index(head, line, from).has_postcode;
    while (to + 1 < head->len && to + 1 < from + ADDRESS_MOST) {
        const line *next = &g_array_index(head, line, to + 1);
        const line *now = &g_array_index(head, line, to);
        gboolean is_done = *has_place && !g_str_has_suffix(now->text, ",") &&
                           !is_region(next->text) && !has_postcode_soon(head, to + 1);
        if (next->is_fact || next->is_title || is_done)
            break;
        to++;
        *has_place |= next->has_postcode;
    }
    return to;
}

/* [first, last] of the address lines; FALSE when none reads like a street or a place. */
static gboolean find_address(const GArray *head, guint *first, guint *last)
{
    guint form = 0;
    for (guint i = 0; i < head->len && i < 6 && form == 0; i++)
        form = g_array_index(head, line, i).has_form ? i + 1 : 0;
    gboolean is_any = FALSE, has_place = FALSE;
    /* the address stands below the company's name; one with a postcode is surer */
    for (guint from = form; from < head->len && !has_place; from++) {
        const line *one = &g_array_index(head, line, from);
        /* the first line is the name, whatever it looks like */
        if (from == 0 || one->is_fact || one->is_title || one->has_form ||
            (!one->is_street && !one->has_postcode))
            continue;
        const line *next = from + 1 < head->len ? one + 1 : NULL;
        if (next != NULL && next->is_plot && !next->is_fact && !one->is_plot &&
            !one->has_postcode && is_weak_street(one->text))
            continue; /* the branch, before the plot */
        guint to = run_of(head, from, &has_place);
        if (!is_any || has_place) {
            *first = from;
            *last = to;
        }
        is_any = TRUE;
        from = to;
    }
    return is_any;
}

/* A postcode off a poor print: "4380O" is 43800. */
static char *mend_postcode(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, " ", -1);
    for (char **word = words; *word != NULL; word++) {
        gsize digits = strspn(*word, "0123456789"), all = strspn(*word, "0123456789O");
        if (all == 5 && digits >= 3 && digits < 5 &&
            ((*word)[5] == '\0' || (*word)[5] == ','))
            for (gsize i = digits; i < 5; i++)
                (*word)[i] = '0';
    }
    return g_strjoinv(" ", words);
}

static void add_address(const GArray *head, guint first, guint last, GArray *clues)
{
    GString *text = g_string_new(NULL);
    dx_box box = g_array_index(head, line, first).box;
    gboolean has_place = FALSE;
    for (guint i = first; i <= last; i++) {
        const line *one = &g_array_index(head, line, i);
        gsize n = strlen(one->text);
        while (n > 1 && strchr(", ", one->text[n - 1]) != NULL)
            n--;
        g_string_append_printf(text, "%s%.*s", i > first ? ", " : "", (int)n, one->text);
        grow(&box, &one->box);
        has_place |= one->has_postcode;
    }
    g_autofree char *value = mend_postcode(text->str);
    dx_clue_add(clues, "merchant_address", text->str, value, &box,
                BLOCK_HEAD + (has_place ? BLOCK_PLACE : 0));
    g_string_free(text, TRUE);
}

/* "#0002 ACME Ltd": a number of the shop before its name. */
static void cut_number(char *text)
{
    gsize n = strcspn(text, " ");
    guint digits = 0, letters = 0;
    for (gsize i = 0; i < n; i++) {
        digits += g_ascii_isdigit(text[i]) != 0;
        letters += g_ascii_isalpha(text[i]) != 0;
    }
    if (text[n] == ' ' && (text[0] == '#' || digits > letters + 2) && digits >= 2)
        memmove(text, text + n + 1, strlen(text + n + 1) + 1);
}

/* A line that only goes on with the name above: "SDN BHD", "CO. (M) SDN BHD". */
static gboolean is_tail(const line *one)
{
    static const char *const forms[] = { "sdn",  "bhd",  "co",   "m",        "ltd",
                                         "gmbh", "inc",  "llc",  "kg",       "pte",
                                         "ag",   "sarl", "sas",  "srl",      "spa",
                                         "b.v",  "s.l",  "corp", "malaysia", NULL };
    if (!one->has_form)
        return FALSE;
    g_autofree char *name = g_strdup(one->text);
    cut_register(name);
    g_autofree char *folded = dx_fold(name, strlen(name));
    g_auto(GStrv) words = g_strsplit_set(folded, " (),", -1);
    for (char **word = words; *word != NULL; word++) {
        gsize n = strlen(*word);
        while (n > 0 && (*word)[n - 1] == '.')
            (*word)[--n] = '\0';
        if (n > 0 && !g_strv_contains(forms, *word))
            return FALSE;
    }
    return TRUE;
}

static guint letters_of(const char *text)
{
    guint count = 0;
    for (; *text != '\0'; text = g_utf8_next_char(text))
        count += g_unichar_isalpha(g_utf8_get_char(text)) != 0;
    return count;
}

static void add_names(const GArray *head, guint limit, GArray *clues)
{
    gboolean has_form = FALSE, is_firm = FALSE;
    guint solid = 0;
    for (guint i = 0; i < limit && i < head->len; i++) {
        const line *one = &g_array_index(head, line, i);
        g_autofree char *folded = dx_fold(one->text, strlen(one->text));
        is_firm |= !one->is_title && !one->is_greeting && has_firm_form(folded);
    }
    for (guint i = 0; i < limit && i < head->len; i++) {
        const line *one = &g_array_index(head, line, i);
        const line *next = i + 1 < limit && i + 1 < head->len ? one + 1 : NULL;
        if (one->is_fact || one->is_title)
            continue;
        g_autofree char *folded = dx_fold(one->text, strlen(one->text));
        double score = solid == 0 ? NAME_FIRST : solid == 1 ? NAME_NEXT : 0;
        if (letters_of(one->text) < 4 || g_ascii_isdigit(one->text[0]))
            score -= NAME_FIRST; /* what a stamp or a hand left above the print */
        else if (one->is_faint && solid == 0)
            score -= NAME_FAINT;
        else
            solid++;
        gboolean is_form = is_firm ? has_firm_form(folded) : one->has_form;
        g_autofree char *name = g_strdup(one->text);
        dx_box box = one->box;
        gboolean goes_on = next != NULL && !next->is_fact && !next->is_title &&
                           (is_tail(next) || g_str_has_suffix(name, "&"));
        if (goes_on) {
            g_free(name);
            name = g_strdup_printf("%s %s", one->text, next->text);
            grow(&box, &next->box);
            is_form |= is_tail(next);
            i++;
        }
        if (is_form && !has_form) {
            score += NAME_FORM;
            has_form = TRUE;
        }
        if (i + 1 == limit)
            score += NAME_BEFORE;
        cut_number(name);
        cut_register(name);
        if (score > 0 && strlen(name) > 2)
            dx_clue_add(clues, "merchant_name", name, name, &box, score);
    }
}

static void add_day(const dx_scene *s, GArray *clues)
{
    const dx_layout *l = s->layout;
    g_autoptr(GArray) dates =
        dx_find_candidates(DX_KIND_DATE, l->text, l->bytes, s->context);
    g_autoptr(GArray) times =
        dx_find_candidates(DX_KIND_TIME, l->text, l->bytes, s->context);
    for (guint i = 0; i < dates->len; i++) {
        const dx_candidate *d = &g_array_index(dates, dx_candidate, i);
        double score = (i == 0 ? DATE_FIRST : 0.4) * d->weight;
        for (guint t = 0; t < times->len; t++) {
            gsize at = g_array_index(times, dx_candidate, t).start;
            gsize low = MIN(at, d->start), high = MAX(at, d->start);
            if (memchr(l->text + low, '\n', high - low) == NULL) {
                score += DATE_TIME;
                if (times->len > 0)
                    dx_clue_span(clues, l, "time", at,
                                 g_array_index(times, dx_candidate, t).end, 1.5);
                break;
            }
        }
        dx_clue_span(clues, l, "date", d->start, d->end, score);
    }
    if (times->len == 1) /* "Till 2   17:26"; hours of business are two */
        dx_clue_span(clues, l, "time", g_array_index(times, dx_candidate, 0).start,
                     g_array_index(times, dx_candidate, 0).end, TIME_ONLY);
}

/* "Price (€)": the one currency that a receipt names, beside an amount or not. */
static void add_currency(const dx_scene *s, GArray *clues)
{
    const dx_layout *l = s->layout;
    g_autoptr(GArray) found =
        dx_find_candidates(DX_KIND_CURRENCY, l->text, l->bytes, s->context);
    const dx_candidate *first = found->len > 0 ? (const dx_candidate *)found->data : NULL;
    for (guint i = 1; i < found->len; i++)
        if (strcmp(g_array_index(found, dx_candidate, i).value, first->value) != 0)
            return;
    if (first != NULL)
        dx_clue_span(clues, l, "currency", first->start, first->end, CURRENCY_ONLY);
}

/* Ways to pay as tills print them, up to the sum, the number of the card, or the end. */
static const char pay_words[] =
    "^(?:cash|(?:credit |debit )?card|visa|master ?card|maestro|amex|american express|"
    "bar|ec[- ]?karte|girocard|kreditkarte|karte|esp[eè]ces|carte(?: bancaire| bleue)?|"
    "cb|efectivo|tarjeta|contant[ei]|bancomat|carta di credito|pin|numer[aá]rio|dinheiro|"
    "multibanco|cart[aã]o|got[oó]wk[aą]|kart[aą](?: płatnicza)?|blik|hotov[eě]|hotovost|"
    "kartou|platebn[ií] karta|tunai)"
    "(?= ?(?:$|[:*.€$£]|[a-złč]{0,4}\\.? ?-?\\d))";

/* A way to pay is its own label: what stands beside it is the sum. */
static void add_payment(const dx_layout *l, GArray *clues)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GRegex) regex = g_regex_new(pay_words, G_REGEX_CASELESS, 0, &error);
    g_assert_no_error(error); /* the pattern is ours */
    guint count = 0;
    for (guint i = 0; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        const dx_cell *next = i + 1 < l->cells->len ? c + 1 : NULL;
        g_autoptr(GMatchInfo) match = NULL;
        g_autofree char *text = g_strndup(l->text + c->start, c->end - c->start);
        int start, end;
        if (!g_regex_match(regex, text, 0, &match) ||
            !g_match_info_fetch_pos(match, 0, &start, &end))
            continue;
        gboolean has_sum = strpbrk(text + end, ".,") != NULL;
        if (next != NULL && next->row == c->row)
            has_sum |= memchr(l->text + next->start, '.', next->end - next->start) ||
                       memchr(l->text + next->start, ',', next->end - next->start);
        dx_clue_span(clues, l, "payment_method", c->start + (gsize)start,
                     c->start + (gsize)end,
                     !has_sum       ? PAID_ALONE
                     : count++ == 0 ? PAID_FIRST
                                    : PAID_NEXT);
    }
}

void dx_clues_shop(const dx_scene *s, GArray *clues)
{
    add_payment(s->layout, clues);
    add_currency(s, clues);
    if (!s->is_first_page)
        return;
    g_autoptr(GArray) head = head_of(s);
    guint first = head->len, last = 0;
    if (find_address(head, &first, &last))
        add_address(head, first, last, clues);
    add_names(head, first, clues);
    add_day(s, clues);
}

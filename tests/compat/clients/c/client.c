/* Calls a function as C programs called the server of 2017, with libcurl, and prints the answer.
 * Usage: client ENDPOINT BODY */
#include <curl/curl.h>
#include <stdio.h>

/* Five seconds, as 2017's. */
#define PATIENCE 5L

int main(int count, char **arguments) {
    if (count != 3) {
        fprintf(stderr, "usage: client ENDPOINT BODY\n");
        return 2;
    }
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Accept: application/json");
    headers = curl_slist_append(headers, "Content-Type: application/json");
    if (curl == NULL || headers == NULL) {
        fprintf(stderr, "there is no memory\n");
        return 1;
    }
    curl_easy_setopt(curl, CURLOPT_URL, arguments[1]);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, "POST");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, arguments[2]);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "sky-island/1.0");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, PATIENCE);
    CURLcode done = curl_easy_perform(curl); /* Writes the body to stdout. */
    if (done != CURLE_OK) {
        fprintf(stderr, "%s\n", curl_easy_strerror(done));
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return done == CURLE_OK ? 0 : 1;
}

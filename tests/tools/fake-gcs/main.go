// Fake-gcs-server with the XML API in front.
//
// fake-gcs-server is the upstream fake of Google Cloud Storage. It speaks the JSON API in
// full, and of the XML API only the reads; etcdrx writes through the XML API, as every
// client of Rust's object_store does. This program serves upstream's handler as it is and
// translates the XML API's writes into upstream's own uploads, so that data, generations
// and preconditions stay upstream's. Everything is in memory.
package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

// publicHost is the name by which upstream tells the XML API, whatever name the caller used.
const publicHost = "gcs.test"

// front serves the XML API and leaves the rest to upstream.
type front struct {
	store    *fakestorage.Server
	upstream http.Handler

	mutex   sync.Mutex
	uploads map[string]map[int][]byte // multipart uploads under way: upload id, part number
	lastID  int
}

// target is the bucket and the object that a path of the XML API names.
type target struct{ bucket, object string }

// parse splits the path of a request; ok is false for the paths of the JSON API.
func parse(request *http.Request) (t target, ok bool) {
	path := strings.TrimPrefix(request.URL.EscapedPath(), "/")
	bucket, object, _ := strings.Cut(path, "/")
	switch bucket {
	case "", "storage", "upload", "download", "batch", "_internal":
		return t, false
	}
	name, err := url.PathUnescape(object)
	return target{bucket, name}, err == nil
}

func (f *front) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	t, ok := parse(request)
	if ok {
		request.Host = publicHost
	}
	query := request.URL.Query()
	upload := query.Get("uploadId")
	switch {
	case !ok:
		f.upstream.ServeHTTP(w, request)
	case t.object == "" && request.Method == http.MethodGet:
		f.list(w, t.bucket, query)
	case t.object == "":
		f.upstream.ServeHTTP(w, request)
	case request.Method == http.MethodPost && query.Has("uploads"):
		f.startUpload(w, t)
	case request.Method == http.MethodPut && upload != "":
		f.putPart(w, request, upload, query.Get("partNumber"))
	case request.Method == http.MethodPost && upload != "":
		f.completeUpload(w, request, t, upload)
	case request.Method == http.MethodDelete && upload != "":
		f.abortUpload(w, upload)
	case request.Method == http.MethodPut && request.Header.Get("X-Goog-Copy-Source") != "":
		f.copy(w, request, t)
	case request.Method == http.MethodPut && !query.Has("X-Goog-Algorithm"):
		f.put(w, request, t)
	default: // reads, deletes and signed URLs
		f.upstream.ServeHTTP(w, request)
	}
}

// upload stores an object through upstream's JSON API and sets the XML API's answer headers.
func (f *front) upload(w http.ResponseWriter, request *http.Request, t target, body io.Reader) bool {
	query := url.Values{"uploadType": {"media"}, "name": {t.object}}
	if generation := request.Header.Get("X-Goog-If-Generation-Match"); generation != "" {
		query.Set("ifGenerationMatch", generation)
	}
	address := "/upload/storage/v1/b/" + url.PathEscape(t.bucket) + "/o?" + query.Encode()
	inner := httptest.NewRequest(http.MethodPost, address, body)
	inner.Header = request.Header.Clone()
	inner.Host = publicHost
	answer := httptest.NewRecorder()
	f.upstream.ServeHTTP(answer, inner)
	var object struct{ Generation, Etag string }
	if answer.Code != http.StatusOK {
		fail(w, answer.Code, answer.Body.String())
		return false
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &object); err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return false
	}
	w.Header().Set("ETag", strconv.Quote(strings.Trim(object.Etag, `"`)))
	w.Header().Set("X-Goog-Generation", object.Generation)
	return true
}

// put writes one object.
func (f *front) put(w http.ResponseWriter, request *http.Request, t target) {
	f.upload(w, request, t, request.Body)
}

// copy writes one object from another.
func (f *front) copy(w http.ResponseWriter, request *http.Request, t target) {
	from := strings.TrimPrefix(request.Header.Get("X-Goog-Copy-Source"), "/")
	bucket, escaped, _ := strings.Cut(from, "/")
	name, err := url.PathUnescape(escaped)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	source, err := f.store.GetObject(bucket, name)
	if err != nil {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	if f.upload(w, request, t, bytes.NewReader(source.Content)) {
		answer(w, struct {
			XMLName xml.Name `xml:"CopyObjectResult"`
			ETag    string
		}{ETag: w.Header().Get("ETag")})
	}
}

// startUpload opens a multipart upload.
func (f *front) startUpload(w http.ResponseWriter, t target) {
	f.mutex.Lock()
	f.lastID++
	id := fmt.Sprintf("upload-%d", f.lastID)
	f.uploads[id] = map[int][]byte{}
	f.mutex.Unlock()
	answer(w, struct {
		XMLName               xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket, Key, UploadId string
	}{Bucket: t.bucket, Key: t.object, UploadId: id})
}

// putPart keeps one part of a multipart upload.
func (f *front) putPart(w http.ResponseWriter, request *http.Request, id, number string) {
	data, err := io.ReadAll(request.Body)
	part, numberErr := strconv.Atoi(number)
	if err != nil || numberErr != nil || part < 1 || part > 10000 {
		fail(w, http.StatusBadRequest, "InvalidArgument")
		return
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	parts, ok := f.uploads[id]
	if !ok {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	parts[part] = data
	w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("part-%d-%d", part, len(data))))
}

// completeUpload writes the object from the parts that the request names.
func (f *front) completeUpload(w http.ResponseWriter, request *http.Request, t target, id string) {
	var wanted struct {
		Part []struct{ PartNumber int }
	}
	if err := xml.NewDecoder(request.Body).Decode(&wanted); err != nil {
		fail(w, http.StatusBadRequest, "MalformedCompleteMultipartUploadRequest")
		return
	}
	f.mutex.Lock()
	parts, ok := f.uploads[id]
	f.mutex.Unlock()
	if !ok {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	var whole []io.Reader
	for _, part := range wanted.Part {
		data, ok := parts[part.PartNumber]
		if !ok {
			fail(w, http.StatusBadRequest, "InvalidPart")
			return
		}
		whole = append(whole, bytes.NewReader(data))
	}
	if !f.upload(w, request, t, io.MultiReader(whole...)) {
		return
	}
	f.mutex.Lock()
	delete(f.uploads, id)
	f.mutex.Unlock()
	answer(w, struct {
		XMLName           xml.Name `xml:"CompleteMultipartUploadResult"`
		Bucket, Key, ETag string
	}{Bucket: t.bucket, Key: t.object, ETag: w.Header().Get("ETag")})
}

// abortUpload forgets a multipart upload.
func (f *front) abortUpload(w http.ResponseWriter, id string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if _, ok := f.uploads[id]; !ok {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return
	}
	delete(f.uploads, id)
	w.WriteHeader(http.StatusNoContent)
}

// entry is one line of a listing, an object or a common prefix.
type entry struct {
	name   string
	object *fakestorage.ObjectAttrs
}

// list answers ListObjects in pages; upstream's own answer knows no start-after and no pages.
func (f *front) list(w http.ResponseWriter, bucket string, query url.Values) {
	objects, prefixes, err := f.store.ListObjects(bucket, query.Get("prefix"), query.Get("delimiter"), false)
	if err != nil {
		fail(w, http.StatusNotFound, "NoSuchBucket")
		return
	}
	var entries []entry
	for i := range objects {
		entries = append(entries, entry{objects[i].Name, &objects[i]})
	}
	for _, prefix := range prefixes {
		entries = append(entries, entry{prefix, nil})
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].name < entries[j].name })
	type contents struct {
		Key, LastModified, ETag string
		Generation, Size        int64
	}
	type prefix struct{ Prefix string }
	result := struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name, Prefix          string
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []contents
		CommonPrefixes        []prefix
	}{Name: bucket, Prefix: query.Get("prefix")}
	limit, err := strconv.Atoi(query.Get("max-keys"))
	if err != nil || limit > 1000 {
		limit = 1000
	}
	after := max(query.Get("start-after"), query.Get("continuation-token"))
	last := ""
	for _, e := range entries {
		if e.name <= after {
			continue
		}
		if len(result.Contents)+len(result.CommonPrefixes) == limit {
			result.IsTruncated, result.NextContinuationToken = true, last
			break
		}
		last = e.name
		if e.object == nil {
			result.CommonPrefixes = append(result.CommonPrefixes, prefix{e.name})
			continue
		}
		result.Contents = append(result.Contents, contents{
			Key: e.name, LastModified: e.object.Updated.Format(time.RFC3339Nano),
			ETag: strconv.Quote(e.object.Etag), Generation: e.object.Generation, Size: e.object.Size,
		})
	}
	answer(w, result)
}

// answer sends an XML document.
func answer(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	io.WriteString(w, xml.Header)
	if err := xml.NewEncoder(w).Encode(document); err != nil {
		log.Print(err)
	}
}

// fail sends an error of the XML API.
func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	w.WriteHeader(status)
	answer(w, struct {
		XMLName       xml.Name `xml:"Error"`
		Code, Message string
	}{Code: http.StatusText(status), Message: message})
}

func main() {
	host := flag.String("host", "127.0.0.1", "address to listen on")
	port := flag.Int("port", 4443, "port to listen on; 0 takes a free one")
	bucket := flag.String("bucket", "", "buckets to create at the start, separated by commas")
	cert := flag.String("cert", "", "certificate file (PEM); with -key, serves https")
	key := flag.String("key", "", "private key file (PEM)")
	flag.Parse()

	listener, err := net.Listen("tcp", net.JoinHostPort(*host, strconv.Itoa(*port)))
	if err != nil {
		log.Fatal(err)
	}
	address := "http://" + listener.Addr().String()
	if *cert != "" {
		address = "https://" + listener.Addr().String()
	}
	options := fakestorage.Options{NoListener: true, PublicHost: publicHost, ExternalURL: address}
	store, err := fakestorage.NewServerWithOptions(options)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range strings.FieldsFunc(*bucket, func(r rune) bool { return r == ',' }) {
		store.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: name})
	}
	f := &front{store: store, upstream: store.HTTPHandler(), uploads: map[string]map[int][]byte{}}
	fmt.Println("listening on", address)
	if *cert != "" {
		log.Fatal(http.ServeTLS(listener, f, *cert, *key))
	}
	log.Fatal(http.Serve(listener, f))
}
